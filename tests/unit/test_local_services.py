"""The table of services: each process is given its own secrets, its own port and nothing of the others."""

import json
from pathlib import Path

import pytest

from deploy.local import home, stack
from deploy.local.errors import LocalStackError
from deploy.local.secrets import generate_secrets
from deploy.local.services import SERVICES, Service, service_program, service_urls
from deploy.local.settings import LocalSettings
from tests.support.ports import free_port_base

SECRETS = generate_secrets()
PUBLIC = {"THRESHOLD_ASSERTION_PUBLIC_KEYS", "THRESHOLD_ROOT_FINGERPRINT"}
OF_GOVERNANCE = {
    "THRESHOLD_ADMIN_CLIENT_ID",
    "THRESHOLD_ADMIN_CLIENT_SECRET",
    "THRESHOLD_ROOT_KEY",
    "THRESHOLD_GOVERNANCE_SIGNING_KEY",
    "THRESHOLD_CONSENT_PUBLIC_KEY",  # it puts this key on the log, and has no use for the private one
}
OF_CONSENT = {"THRESHOLD_CONSENT_SIGNING_KEY", "THRESHOLD_KEY_ENCRYPTION_KEY"}
OF_ONE = {"governance": OF_GOVERNANCE, "consent": OF_CONSENT}


@pytest.fixture
def settings(tmp_path: Path) -> LocalSettings:
    return LocalSettings.from_environment({"THRESHOLD_HOME": str(tmp_path), "THRESHOLD_PORT_BASE": "9000"})


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_a_service_is_given_its_own_secrets_alone(
    service: Service, settings: LocalSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in SECRETS:  # as if the person who starts the stack had them all in the shell
        monkeypatch.setenv(name, "from the shell")
    environment = service_program(service, settings, SECRETS, None).environment
    own = PUBLIC | {f"THRESHOLD_{service.name.upper()}_ASSERTION_KEY"} | OF_ONE.get(service.name, set())
    assert {name: environment[name] for name in environment if name in SECRETS} == {name: SECRETS[name] for name in own}


def test_every_secret_belongs_to_a_service() -> None:
    assert set(SECRETS) == {name for service in SERVICES for name in service.allowed_secrets}


def test_a_service_is_told_where_everything_is(settings: LocalSettings) -> None:
    webhooks = next(service for service in SERVICES if service.name == "webhooks")
    program = service_program(webhooks, settings, SECRETS, "postgresql+psycopg://webhooks@/webhooks")
    assert program.environment["THRESHOLD_KAFKA"] == "127.0.0.1:9092"
    assert json.loads(program.environment["THRESHOLD_SERVICES"]) == service_urls(settings)
    assert program.environment["THRESHOLD_DATABASE_URL"] == "postgresql+psycopg://webhooks@/webhooks"
    assert program.environment["THRESHOLD_ALLOW_LOOPBACK_RECEIVERS"] == "true"
    assert ("--port", "9005") in zip(program.command, program.command[1:], strict=False)


def test_only_webhooks_may_reach_this_machine_and_only_the_boundary_has_no_database(settings: LocalSettings) -> None:
    programs = {service.name: service_program(service, settings, SECRETS, None) for service in SERVICES}
    allowed = {
        name for name, program in programs.items() if "THRESHOLD_ALLOW_LOOPBACK_RECEIVERS" in program.environment
    }
    assert allowed == {"webhooks"}
    assert {service.name for service in SERVICES if not service.has_database} == {"boundary"}


def test_ports_are_as_documented() -> None:
    assert {service.name: service.port_offset for service in SERVICES} == {
        "governance": 1,
        "consent": 2,
        "referrals": 3,
        "shelter_beds": 4,
        "webhooks": 5,
        "audit": 6,
        "boundary": 7,
    }


@pytest.mark.parametrize("base", ["", "abc", "-7000", "1023", "65500", "7000.5"])
def test_a_port_base_that_cannot_be_is_refused(base: str) -> None:
    with pytest.raises(LocalStackError, match="THRESHOLD_PORT_BASE must be a number"):
        LocalSettings.from_environment({"THRESHOLD_PORT_BASE": base})


def test_a_home_that_cannot_be_made_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = LocalSettings.from_environment({"THRESHOLD_HOME": str(tmp_path / "file" / "home")})
    with pytest.raises(LocalStackError, match=r"^Threshold cannot live in .*/file/home \(Not a directory\)"):
        home.prepare(settings)


async def test_a_service_that_is_not_ready_in_time_is_named_with_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "SERVICE_READY_WITHIN", 0.1)
    with free_port_base() as base:
        settings = LocalSettings(tmp_path, base, tmp_path)
        with pytest.raises(
            LocalStackError, match=r"^audit was not ready within 0.1 s; its log is .*/logs/audit.log\.$"
        ):
            await stack._service_ready(Service("audit", 6), settings)
