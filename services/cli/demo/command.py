"""The command: bring the stack up, tell the day on it, stay up until Ctrl-C or end by itself."""

from typing import Annotated

import typer

from services.cli.outcome import one_sentence


def demo(
    once: Annotated[
        bool, typer.Option("--once", help="End when the day is told: exit 0 only if all was as told.")
    ] = False,
) -> None:
    """Bring the whole stack up and tell a day on it; every line is what a receiver got or a service answered.

    Stays up until Ctrl-C. THRESHOLD_HOME and THRESHOLD_PORT_BASE are as for `threshold up`.
    """
    import asyncio

    from deploy.local.errors import LocalStackError
    from deploy.local.settings import LocalSettings
    from services.cli.demo.run import run

    with one_sentence(LocalStackError):
        as_told = asyncio.run(run(LocalSettings.from_environment(), once=once))
    raise typer.Exit(0 if as_told else 1)
