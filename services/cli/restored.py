"""`threshold restored SERVICE`: after a backup of a service's database was restored, bring it up to the log."""

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Final

import typer

from services.cli.outcome import one_sentence

if TYPE_CHECKING:
    from pydantic import SecretStr

    from services.kit.connecting import Kafka

    Declared = Callable[[Kafka, SecretStr], Coroutine[None, None, str]]

SERVICES: Final[Mapping[str, str]] = {
    "governance": "services.governance.restored",
    "consent": "services.consent.restored",
    "referrals": "services.referrals.restored",
    "shelter_beds": "services.shelter_beds.restored",
    "webhooks": "services.webhooks.restored",
    "audit": "services.audit.restored",
}
"""Where each service has its `declared(kafka, database_url)`, which returns what to tell whoever restored it."""


def restored(
    service: Annotated[str, typer.Argument(metavar="SERVICE", help=f"One of: {', '.join(SERVICES)}.")],
) -> None:
    """Say that the database of SERVICE, which is stopped, was restored: it is brought up to what the log has.

    The database is that of THRESHOLD_DATABASE_URL, or the local stack's.
    """
    from aiokafka.errors import KafkaError

    from deploy.local.errors import LocalStackError
    from services.cli.reached import reached_as
    from services.kit.database import Database
    from services.kit.restored import RunningError

    if service not in SERVICES:
        raise typer.BadParameter(f"must be one of: {', '.join(SERVICES)}", param_hint="SERVICE")
    declared: Declared = import_module(SERVICES[service]).declared
    with reached_as(service, None) as kafka, one_sentence(LocalStackError, RunningError):
        try:
            sentence = asyncio.run(declared(kafka, _database_url(service)))
        except Database.away:
            raise LocalStackError(f"The database of {service} can't be reached: is it up?") from None
        except KafkaError as error:
            raise LocalStackError(f"The log can't be read ({type(error).__name__}): is Kafka up?") from None
    typer.echo(sentence)


def _database_url(service: str) -> "SecretStr":
    from pydantic import SecretStr

    from deploy.local.postgres import Postgres
    from deploy.local.settings import LocalSettings

    settings = LocalSettings.from_environment()
    postgres = Postgres(settings.home / "postgres", settings.logs / "postgres.log")
    return SecretStr(os.environ.get("THRESHOLD_DATABASE_URL") or postgres.url(service, service))
