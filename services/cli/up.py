"""`threshold up`: run the whole stack on this machine until it is told to stop."""

from typing import Annotated

import typer

from services.cli.outcome import one_sentence


def up(
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="With test organizations for who connects a system: docs/connect.md.")
    ] = False,
) -> None:
    """Start Kafka, PostgreSQL and every service; keep them alive until Ctrl-C or SIGTERM.

    THRESHOLD_HOME (.threshold) holds all data and logs, THRESHOLD_PORT_BASE (7000) moves the ports. Once all is
    ready, stack.json in THRESHOLD_HOME says where everything is.
    """
    import asyncio

    from deploy.local.errors import LocalStackError
    from deploy.local.settings import LocalSettings
    from services.cli.hmis.client import CannotImport
    from services.cli.running_stack import run_until_told_to_stop

    with one_sentence(LocalStackError, CannotImport):
        asyncio.run(run_until_told_to_stop(LocalSettings.from_environment(), sandbox=sandbox))
