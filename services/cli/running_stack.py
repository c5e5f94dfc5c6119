"""What `threshold up` does in its terminal: bring the stack up, show where it is, end it cleanly."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator

from rich.console import Console
from rich.table import Table

from deploy.local.services import service_urls
from deploy.local.settings import LocalSettings
from deploy.local.stack import running


async def run_until_told_to_stop(settings: LocalSettings) -> None:
    """Run the stack until Ctrl-C or SIGTERM; raises LocalStackError if it cannot be brought up."""
    console = Console(highlight=False, markup=False)
    async with cancelled_by_signals(), running(settings, lambda sentence: console.print(sentence, soft_wrap=True)):
        console.print(whereabouts(settings))
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
