"""The services: which ports they take, which secrets they may have, how their processes are run."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from deploy.local.settings import KAFKA_CLIENT_OFFSET, KAFKA_CONTROLLER_OFFSET, LocalSettings
from deploy.local.supervisor import Program

GRACEFUL_SHUTDOWN = 5  # seconds a service gives open requests
EVERY_SERVICE_HAS = ("THRESHOLD_ASSERTION_PUBLIC_KEYS", "THRESHOLD_ROOT_FINGERPRINT")


@dataclass(frozen=True)
class Service:
    """One service: `secrets` are those it has besides its own assertion key and what every service has."""

    name: str
    port_offset: int
    secrets: tuple[str, ...] = ()
    has_database: bool = True
    settings: tuple[tuple[str, str], ...] = ()  # what it has only on one's own machine; {home} is filled in

    @property
    def allowed_secrets(self) -> tuple[str, ...]:
        """Return the names of all secrets this service is given."""
        return (*EVERY_SERVICE_HAS, f"THRESHOLD_{self.name.upper()}_ASSERTION_KEY", *self.secrets)


SERVICES = (
    Service(
        "governance",
        1,
        secrets=(
            "THRESHOLD_ADMIN_CLIENT_ID",
            "THRESHOLD_ADMIN_CLIENT_SECRET",
            "THRESHOLD_ROOT_KEY",
            "THRESHOLD_GOVERNANCE_SIGNING_KEY",
            "THRESHOLD_CONSENT_PUBLIC_KEY",
        ),
    ),
    Service("consent", 2, secrets=("THRESHOLD_CONSENT_SIGNING_KEY", "THRESHOLD_KEY_ENCRYPTION_KEY")),
    Service("referrals", 3),
    Service("shelter_beds", 4, settings=(("THRESHOLD_ALLOW_LOOPBACK_PAGES", "true"),)),
    Service("webhooks", 5, settings=(("THRESHOLD_ALLOW_LOOPBACK_RECEIVERS", "true"),)),
    Service("audit", 6),
    Service("boundary", 7, has_database=False, settings=(("THRESHOLD_SNAPSHOTS", "{home}/snapshots"),)),
)


def service_url(service: Service, settings: LocalSettings) -> str:
    """Return a service's base URL."""
    return f"http://127.0.0.1:{settings.port_base + service.port_offset}"


def service_urls(settings: LocalSettings) -> dict[str, str]:
    """Return each service's base URL by name."""
    return {service.name: service_url(service, settings) for service in SERVICES}


def ports(settings: LocalSettings) -> dict[str, int]:
    """Return every port the stack takes, by what needs it."""
    offsets = {service.name: service.port_offset for service in SERVICES}
    offsets |= {"kafka": KAFKA_CLIENT_OFFSET, "kafka's controller": KAFKA_CONTROLLER_OFFSET}
    return {name: settings.port_base + offset for name, offset in offsets.items()}


def service_program(
    service: Service, settings: LocalSettings, secrets: Mapping[str, str], database_url: str | None
) -> Program:
    """Return what runs a service; of the secrets its process gets only those its row in SERVICES allows."""
    environment = {name: value for name, value in os.environ.items() if name not in secrets}
    environment |= {name: secrets[name] for name in service.allowed_secrets}
    environment |= {"THRESHOLD_KAFKA": settings.kafka, "THRESHOLD_SERVICES": json.dumps(service_urls(settings))}
    environment |= {name: value.format(home=settings.home) for name, value in service.settings}
    if database_url is not None:
        environment["THRESHOLD_DATABASE_URL"] = database_url
    return Program(
        name=service.name,
        command=service_command(service.name, settings.port_base + service.port_offset),
        environment=environment,
        log=settings.logs / f"{service.name}.log",
        stop_grace=GRACEFUL_SHUTDOWN + 10,  # what it still finishes after the last request: a batch, a commit
    )


def service_command(name: str, port: int) -> tuple[str, ...]:
    """Return the command that runs a service as a process."""
    options = ("--port", str(port), "--graceful-shutdown", str(GRACEFUL_SHUTDOWN))
    return (sys.executable, "-m", "services.kit.process", name, *options)
