"""`threshold audit`: decide the log again and compare, or write it to a file."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.outcome import one_sentence

if TYPE_CHECKING:
    from services.audit.replay import Difference, Report
    from services.kit.broker import Record

    Run = list[Record]

app = typer.Typer(help="Prove from the log alone that nothing left without consent.", no_args_is_help=True)

_RUN = 1_000  # records
_PARTITION = typer.Option(min=0, help="Only this partition.")


@app.command()
def replay(
    from_: Annotated[
        Path | None, typer.Option("--from", exists=True, dir_okay=False, help="An export, instead of the live log.")
    ] = None,
    partition: Annotated[int | None, _PARTITION] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    root: Annotated[str | None, typer.Option(help="The root key's fingerprint, if not this stack's.")] = None,
) -> None:
    """Decide every record again and compare with what was decided: exit 0 when every byte agrees, else 1."""
    from deploy.local.errors import LocalStackError
    from policy.control import UnsupportedPolicyVersion
    from services.audit.export import UnreadableExport, UnreadableLog
    from services.kit.connecting import UnusableSettingsError

    sentences = (LocalStackError, UnreadableExport, UnreadableLog, UnsupportedPolicyVersion, UnusableSettingsError)
    with one_sentence(*sentences):
        began = time.perf_counter()
        report = asyncio.run(_replayed(from_, partition, root))
        seconds = time.perf_counter() - began
    typer.echo(json.dumps(asdict(report) | {"seconds": round(seconds, 3)}) if as_json else _told(report, seconds))
    raise typer.Exit(1 if report.differences else 0)


@app.command()
def export(
    file: Annotated[Path, typer.Argument(dir_okay=False, help="Where to write the log.")],
    partition: Annotated[int | None, _PARTITION] = None,
) -> None:
    """Write client-events and disclosures to a file that can be kept, given away and replayed offline."""
    from deploy.local.errors import LocalStackError
    from services.audit.export import UnreadableLog, save
    from services.kit.connecting import UnusableSettingsError

    with one_sentence(LocalStackError, UnreadableLog, UnusableSettingsError, OSError):
        count = asyncio.run(save(_shown(_live(partition)), file))
    typer.echo(f"{count} records in {file}.")


async def _replayed(path: Path | None, partition: int | None, root: str | None) -> "Report":
    from services.audit.export import UnreadableLog, read
    from services.audit.replay import Replay

    replaying = Replay(root or _root_fingerprint(), partition)
    async for run in _shown(_live(partition) if path is None else _in_runs(read(path))):
        for record in run:
            replaying.take(record)
    report = replaying.report()
    if not report.digests:
        raise UnreadableLog("There is nothing to replay: the log has no record here.")
    return report


async def _shown(runs: AsyncIterator["Run"]) -> AsyncIterator["Run"]:
    """The same records, counted on the terminal."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.completed} records"), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, transient=True, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)
        async for run in runs:
            yield run
            progress.advance(task, len(run))


async def _in_runs(records: "Iterable[Record]") -> AsyncIterator["Run"]:
    left = iter(records)
    while run := list(islice(left, _RUN)):
        yield run


def _live(partition: int | None) -> AsyncIterator["Run"]:
    from services.audit.export import UnreadableLog, live
    from services.cli.reached import kafka_as
    from services.kit.topics import load

    every = range(load()["client-events"].partitions)
    if partition is not None and partition not in every:
        raise UnreadableLog(f"The log has {len(every)} partitions, from 0 on.")
    return live(kafka_as("audit"), every if partition is None else [partition])


def _root_fingerprint() -> str:
    from deploy.local.errors import LocalStackError
    from deploy.local.secrets import read_secrets, secrets_path
    from deploy.local.settings import LocalSettings

    path = secrets_path(LocalSettings.from_environment().home)
    if not path.exists():
        raise LocalStackError(f"{path} is not there to say which root key the log is under: name it by --root.")
    return read_secrets(path)["THRESHOLD_ROOT_FINGERPRINT"]


def _told(report: "Report", seconds: float) -> str:
    rate = f"{report.compared} decisions in {seconds:.2f} s ({report.compared / seconds:,.0f}/s)"
    undecided = f"; {report.undecided} records are not decided yet" if report.undecided else ""
    if not report.differences:
        return f"Byte-identical: {rate}{undecided}."
    return "\n".join([f"NOT the same: {rate}{undecided}.", *(_named(one) for one in report.differences)])


def _named(difference: "Difference") -> str:
    from services.audit.replay import IGNORED, MEANINGS

    what = difference.what
    unproven = "" if what in IGNORED else f"; nothing from here on in partition {difference.partition} is proven"
    return (
        f"  {difference.topic}/{difference.partition} offset {difference.offset}: {what} ({MEANINGS[what]}){unproven}"
    )
