"""`threshold import`: bring the organizations, clients and referrals of an export of a case system in."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from services.cli.outcome import one_sentence

app = typer.Typer(help="Bring in what case systems export.", no_args_is_help=True)


class Only(StrEnum):
    """What alone to import."""

    ORGANIZATIONS = "organizations"
    BEDS = "beds"


@app.command("hmis-csv")
def hmis_csv(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder with the export's CSV files.")],
    only: Annotated[
        Only | None, typer.Option(help="Stop there; beds come after the organizations, and no client is sent anywhere.")
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Take the referrals as new, not as history.")] = False,
    time_zone: Annotated[str, typer.Option(help="Of the export's dates, such as America/Chicago.")] = "UTC",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Import a HUD FY2026 HMIS CSV export into the running stack; doing it twice doubles nothing.

    Its referrals are history (recorded and decided, never delivered) unless --live makes them new. Of its beds the
    inventory in force on its last night (today, if it goes that far) is taken, with how many slept there. The report
    says what was taken, what was not and why. Exit 0 when the services took all that could be read, else 1.
    """
    import asyncio

    from deploy.local.errors import LocalStackError
    from services.cli.hmis.client import CannotImport
    from services.cli.hmis.imported import import_folder, zone
    from services.cli.hmis.printing import told

    with one_sentence(LocalStackError, CannotImport):
        imported = asyncio.run(
            import_folder(
                folder,
                mode="live" if live else "history",
                only=None if only is None else only.value,
                time_zone=zone(time_zone),
            )
        )
    typer.echo(json.dumps(imported.as_json()) if as_json else told(imported))
    raise typer.Exit(0 if imported.complete else 1)
