"""`Prefer: wait=N` (RFC 7240): a caller may wait for what becomes true a moment later."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Annotated, Final, TypeVar

from fastapi import Depends, Header, Response

MAXIMUM_WAIT_SECONDS: Final = 30
FIRST_PAUSE_SECONDS: Final = 0.005
LONGEST_PAUSE_SECONDS: Final = 0.1

T = TypeVar("T")

_WAIT: Final = re.compile(r'^wait\s*=\s*"?([0-9]{1,6})"?$', re.IGNORECASE)


def wait_seconds(prefer: str) -> int | None:
    """Return N of `wait=N` in a Prefer header, at most MAXIMUM_WAIT_SECONDS; None when it has none.

    Preferences that are unknown or malformed are ignored, as RFC 7240 section 2 asks; the first `wait` counts.
    """
    preferences = (part.split(";", 1)[0].strip() for part in prefer.split(","))
    found = next((match for preference in preferences if (match := _WAIT.match(preference))), None)
    return min(int(found[1]), MAXIMUM_WAIT_SECONDS) if found else None


async def preferred_wait(response: Response, prefer: Annotated[list[str] | None, Header()] = None) -> int:
    """Give a route the seconds to wait, 0 without the preference, and say in the answer what was applied."""
    seconds = wait_seconds(",".join(prefer or []))
    if seconds is not None:
        response.headers["Preference-Applied"] = f"wait={seconds}"
    return seconds or 0


Wait = Annotated[int, Depends(preferred_wait)]
"""Parameter of a route that can wait: seconds."""


async def until(check: Callable[[], Awaitable[T | None]], seconds: float) -> T | None:
    """Call `check` until it gives something or `seconds` are over; return what it gave last.

    It is called at least once. The pauses grow from 5 to 100 ms, so a short wait is precise and a long one is cheap.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    pause = FIRST_PAUSE_SECONDS
    while (found := await check()) is None and (left := deadline - asyncio.get_running_loop().time()) > 0:
        await asyncio.sleep(min(pause, left))
        pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)
    return found
