"""`threshold restored`: say that a service's database was restored from a backup, before the service starts on it."""

import asyncio
from enum import StrEnum
from importlib import import_module
from typing import Final

import typer

from services.cli.outcome import one_sentence


class Restored(StrEnum):
    """The services whose databases need to be told of it."""

    CONSENT = "consent"
    GOVERNANCE = "governance"


DECLARED: Final = {
    Restored.CONSENT: "services.consent.restored",
    Restored.GOVERNANCE: "services.governance.restored",
}
"""The module whose `declared(url)` does what follows, and returns what to tell the operator."""


def restored(service: Restored) -> None:
    """Declare a restored database: while SERVICE is stopped, and before it starts again.

    The database is that of THRESHOLD_DATABASE_URL, or of the local stack's SERVICE.
    """
    from pydantic import SecretStr
    from sqlalchemy.exc import OperationalError

    from deploy.local.errors import LocalStackError

    with one_sentence(LocalStackError):
        try:
            told = asyncio.run(import_module(DECLARED[service]).declared(SecretStr(_url(service))))
        except OperationalError:
            raise LocalStackError(f"The database of {service} does not answer: is PostgreSQL up?") from None
    typer.echo(told)


def _url(service: Restored) -> str:
    import os

    from deploy.local.postgres import Postgres
    from deploy.local.settings import LocalSettings

    settings = LocalSettings.from_environment()
    postgres = Postgres(data=settings.home / "postgres", log=settings.logs / "postgres.log")
    return os.environ.get("THRESHOLD_DATABASE_URL") or postgres.url(service, service)
