"""Waiting in tests: for a condition, with a deadline; the only place in the tests that sleeps."""

import asyncio
import inspect
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, overload

Result = TypeVar("Result")

INTERVAL = 0.02  # seconds between two looks


def wait_until(condition: Callable[[], Result | None], *, what: str, deadline: float = 30.0) -> Result:
    """Return the condition's first true result; AssertionError naming `what` after `deadline` seconds."""
    end = time.monotonic() + deadline
    while not (result := condition()):
        assert time.monotonic() < end, f"waited {deadline:g} s in vain for: {what}"
        time.sleep(INTERVAL)
    return result


@overload
async def wait_until_async(
    condition: Callable[[], Coroutine[Any, Any, Result | None]], *, what: str, deadline: float = 30.0
) -> Result: ...


@overload
async def wait_until_async(condition: Callable[[], Result | None], *, what: str, deadline: float = 30.0) -> Result: ...


async def wait_until_async(condition: Callable[[], Any], *, what: str, deadline: float = 30.0) -> Any:
    """Do as `wait_until` does without blocking the event loop; the condition may be a coroutine function."""
    end = time.monotonic() + deadline
    while not (result := await _outcome(condition)):
        assert time.monotonic() < end, f"waited {deadline:g} s in vain for: {what}"
        await asyncio.sleep(INTERVAL)
    return result


async def _outcome(condition: Callable[[], Any]) -> Any:
    outcome = condition()
    return await outcome if inspect.isawaitable(outcome) else outcome
