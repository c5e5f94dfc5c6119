"""The command: bring the stack up and tell the day on it, or play recorded nights on one that runs."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from services.cli.outcome import one_sentence

app = typer.Typer(invoke_without_command=True)


@app.callback()
def demo(
    context: typer.Context,
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

    if context.invoked_subcommand is not None:
        return
    with one_sentence(LocalStackError):
        as_told = asyncio.run(run(LocalSettings.from_environment(), once=once))
    raise typer.Exit(0 if as_told else 1)


@app.command()
def beds(
    replay: Annotated[Path, typer.Option(metavar="DIR", help="The folder with a HUD HMIS CSV export.")],
    speed: Annotated[float, typer.Option(min=1, help="Times as fast as it was; 86400 is a night a second.")] = 86400,
    first: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="The first night, not the busiest year's.")
    ] = None,
    last: Annotated[
        datetime | None, typer.Option("--until", formats=["%Y-%m-%d"], help="The last night, with --from.")
    ] = None,
    time_zone: Annotated[str, typer.Option(help="Of the export's dates, such as America/Chicago.")] = "UTC",
) -> None:
    """Play an export's recorded nights on the running stack, as live changes that the board and the feed show.

    Imports the organizations and beds if they are not there yet, no client. Every night each shelter says with its own
    credential how many slept there. It says so as of now: the service takes no count from the future and none older
    than the last, so a recorded night cannot be told as of its own date. The recorded date stands in the story alone,
    and what is shown in the end is the last night that was played. Ends by itself, or by Ctrl-C.
    """
    import asyncio

    from deploy.local.errors import LocalStackError
    from deploy.local.settings import LocalSettings
    from services.cli.demo.beds import Nights
    from services.cli.demo.beds import replay as play
    from services.cli.hmis.client import CannotImport
    from services.cli.hmis.imported import zone

    if (first is None) != (last is None) or (first and last and last < first):
        raise typer.BadParameter("--from and --until go together, the first night first.")
    chosen = Nights(first.date(), last.date()) if first and last else None
    with one_sentence(LocalStackError, CannotImport):
        settings = LocalSettings.from_environment()
        asyncio.run(play(settings, replay, speed=speed, chosen=chosen, zone=zone(time_zone)))
