"""The local stack from nothing to ready, in the order its parts need each other."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx

from deploy.local.errors import LocalStackError
from deploy.local.home import held, write_private
from deploy.local.kafka import Kafka
from deploy.local.ports import refuse_used
from deploy.local.postgres import Postgres
from deploy.local.secrets import ensure_secrets
from deploy.local.services import SERVICES, Service, ports, service_program, service_url, service_urls
from deploy.local.settings import KAFKA_CLIENT_OFFSET, KAFKA_CONTROLLER_OFFSET, LocalSettings
from deploy.local.supervisor import Supervisor
from deploy.local.waiting import until
from services.kit import cluster

SERVICE_READY_WITHIN = 60.0  # seconds

Report = Callable[[str], None]
Description = dict[str, Any]
"""What stack.json says."""
Furnish = Callable[[Description], Awaitable[Description]]
"""Does something with services that are ready, and returns what stack.json is to say more."""


@asynccontextmanager
async def running(settings: LocalSettings, report: Report, furnish: Furnish | None = None) -> AsyncIterator[None]:
    """Bring everything up, write stack.json, keep it all alive while the block runs, then stop it in reverse order.

    `report` is given one sentence per step and per process that dies. Raises LocalStackError when something the stack
    needs is missing, taken or does not become ready.
    """
    with held(settings):
        settings.stack_file.unlink(missing_ok=True)
        refuse_used(ports(settings))
        secrets = ensure_secrets(settings.home)
        async with foundations(settings, report) as (supervisor, postgres):
            databases = [service.name for service in SERVICES if service.has_database]
            await asyncio.gather(_apply_topics(settings), asyncio.to_thread(postgres.create_databases, databases))
            await _start_services(settings, secrets, supervisor, postgres, report)
            description = _stack_description(settings, secrets)
            if furnish is not None:
                description |= await furnish(description)
            write_private(settings.stack_file, json.dumps(description, indent=1) + "\n")
            try:
                yield
            finally:
                settings.stack_file.unlink(missing_ok=True)


@asynccontextmanager
async def foundations(settings: LocalSettings, report: Report) -> AsyncIterator[tuple[Supervisor, Postgres]]:
    """Run Kafka and PostgreSQL alone, both ready when the block begins; the home must be held by the caller."""
    postgres = Postgres(data=settings.home / "postgres", log=settings.logs / "postgres.log")
    kafka = Kafka(
        folder=settings.home / "kafka",
        log=settings.logs / "kafka.log",
        jars=settings.jars,
        client_port=settings.port_base + KAFKA_CLIENT_OFFSET,
        controller_port=settings.port_base + KAFKA_CONTROLLER_OFFSET,
    )
    report("Starting PostgreSQL and Kafka.")
    programs = await asyncio.gather(asyncio.to_thread(postgres.prepare), asyncio.to_thread(kafka.prepare))
    async with Supervisor(settings.home / "run", report) as supervisor:
        await supervisor.start(*programs)
        await asyncio.gather(postgres.ready(), kafka.ready())
        yield supervisor, postgres


async def _apply_topics(settings: LocalSettings) -> None:
    await asyncio.to_thread(cluster.apply, settings.kafka)
    if differences := await asyncio.to_thread(cluster.check, settings.kafka):
        raise LocalStackError(" ".join(differences))


async def _start_services(
    settings: LocalSettings, secrets: dict[str, str], supervisor: Supervisor, postgres: Postgres, report: Report
) -> None:
    report(f"Starting {', '.join(service.name for service in SERVICES)}.")
    # All at once, since a start is mostly the processor's work: governance writes the log's genesis, which the others
    # wait for by themselves. It is a group of its own, and the first, so that at the end it is the last to stop.
    for group in (SERVICES[:1], SERVICES[1:]):
        urls = {s.name: postgres.url(s.name, s.name) if s.has_database else None for s in group}
        await supervisor.start(*(service_program(s, settings, secrets, urls[s.name]) for s in group))
    for service in SERVICES:  # governance first, so that where all wait for it, it is the one that is named
        await _service_ready(service, settings)


async def _service_ready(service: Service, settings: LocalSettings) -> None:
    url = f"{service_url(service, settings)}/readyz"
    async with httpx.AsyncClient(trust_env=False, timeout=5) as client:

        async def is_ready() -> bool:
            try:
                return (await client.get(url)).status_code == httpx.codes.OK
            except httpx.TransportError:
                return False

        await until(
            is_ready,
            deadline=SERVICE_READY_WITHIN,
            otherwise=f"{service.name} was not ready within {SERVICE_READY_WITHIN:g} s; "
            f"its log is {settings.logs / service.name}.log.",
        )


def _stack_description(settings: LocalSettings, secrets: dict[str, str]) -> Description:
    admin = {
        "client_id": secrets["THRESHOLD_ADMIN_CLIENT_ID"],
        "client_secret": secrets["THRESHOLD_ADMIN_CLIENT_SECRET"],
    }
    return {"kafka": settings.kafka, "services": service_urls(settings), "admin": admin}
