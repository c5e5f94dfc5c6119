"""`threshold databases`: make each service's database and role on a PostgreSQL server."""

import os

import typer

from services.cli.outcome import one_sentence


def databases() -> None:
    """Make what is missing, and set each role's password, as the superuser of THRESHOLD_POSTGRES_URL."""
    from deploy.compose.databases import apply
    from deploy.local.errors import LocalStackError

    with one_sentence(LocalStackError):
        apply(os.environ)
    typer.echo("Every service has its database.")
