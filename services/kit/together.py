"""Starts parts of a service all at once, and ends them one after another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager


@asynccontextmanager
async def together(*parts: AbstractAsyncContextManager[object]) -> AsyncIterator[None]:
    """Run the parts while the block runs: a reader's start is mostly waiting for the broker, so none waits for another.

    They end in the reverse of the order given, whichever came up first. If one can't start, those that could end too.
    """
    started: set[int] = set()

    async def start(place: int) -> None:
        await parts[place].__aenter__()
        started.add(place)

    async with AsyncExitStack() as running:
        try:
            async with asyncio.TaskGroup() as starting:
                for place in range(len(parts)):
                    starting.create_task(start(place))
        finally:
            for place in sorted(started):
                running.push_async_exit(parts[place])
        yield
