"""What `threshold up` does in its terminal: bring the stack up, show where it is, end it cleanly."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Sequence
from functools import partial

from rich.console import Console, RenderableType
from rich.table import Table

from deploy.local.services import service_urls
from deploy.local.settings import LocalSettings
from deploy.local.stack import Description, Report, running


async def run_until_told_to_stop(settings: LocalSettings, *, sandbox: bool) -> None:
    """Run the stack until Ctrl-C or SIGTERM; raises LocalStackError if it cannot be brought up."""
    console = Console(highlight=False, markup=False)
    report: Report = partial(console.print, soft_wrap=True)
    furnish = partial(_with_sandbox, settings, report) if sandbox else None
    async with cancelled_by_signals(), running(settings, report, furnish):
        console.print(whereabouts(settings))
        for part in _sandbox_shown(settings) if sandbox else ():
            console.print(part, soft_wrap=not isinstance(part, Table))  # what is to be copied is never cut
        console.print("Ready. Ctrl-C stops everything; the data stays.")
        await asyncio.Event().wait()
    console.print("Stopped.")


@contextlib.asynccontextmanager
async def cancelled_by_signals() -> AsyncIterator[None]:
    """Leave the block, cleaning up on the way, at the first SIGINT or SIGTERM; later ones do not cut that short."""
    loop, block = asyncio.get_running_loop(), asyncio.current_task()
    told = asyncio.Event()

    def stop() -> None:
        if not told.is_set() and block is not None:
            told.set()
            block.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        yield
    except asyncio.CancelledError:
        if not told.is_set():
            raise


async def _with_sandbox(settings: LocalSettings, report: Report, description: Description) -> Description:
    from services.cli.sandbox.town import found

    report("Founding the sandbox.")
    return await found(settings, description)


def _sandbox_shown(settings: LocalSettings) -> Sequence[RenderableType]:
    from services.cli.sandbox.telling import how_to_go_on

    return how_to_go_on(settings)


def whereabouts(settings: LocalSettings) -> Table:
    """Return the table of every part's address and log."""
    table = Table("part", title=f"Threshold in {settings.home}", title_justify="left")
    for heading in ("address", "log"):
        table.add_column(heading, overflow="fold")  # never shortened: these are to be copied
    table.add_row("kafka", settings.kafka, str(settings.logs / "kafka.log"))
    table.add_row("postgres", f"a Unix socket in {settings.home}", str(settings.logs / "postgres.log"))
    for name, url in service_urls(settings).items():
        table.add_row(name, url, str(settings.logs / f"{name}.log"))
    return table
