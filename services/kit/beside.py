"""Runs a task for as long as a block runs; the process does not outlive its failure."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress

from services.kit.ending import die_if_failed


@asynccontextmanager
async def beside(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run `work`, which goes on for ever, while the block runs; what it raises ends the process."""
    task = asyncio.create_task(work)
    task.add_done_callback(die_if_failed)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
