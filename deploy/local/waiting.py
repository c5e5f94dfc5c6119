"""Waiting for a condition, never for a time."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from deploy.local.errors import LocalStackError

INTERVAL = 0.05  # seconds between two looks


async def until(condition: Callable[[], Awaitable[bool]], *, deadline: float, otherwise: str) -> None:
    """Return once `condition` is true; after `deadline` seconds raise LocalStackError with the sentence `otherwise`."""
    end = time.monotonic() + deadline
    while not await condition():
        if time.monotonic() > end:
            raise LocalStackError(otherwise)
        await asyncio.sleep(INTERVAL)
