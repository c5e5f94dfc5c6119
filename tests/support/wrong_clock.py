"""A process whose clock is wrong: libfaketime tells it another time of day, and leaves it the time since boot."""

from datetime import timedelta
from pathlib import Path


class MissingLibraryError(Exception):
    """libfaketime is not installed; the message says how to get it."""


def wrong_by(difference: timedelta) -> dict[str, str]:
    """Return what a process needs in its environment to have a clock that is so far ahead, or behind."""
    return {
        "LD_PRELOAD": str(_library()),
        "FAKETIME": f"{difference.total_seconds():+.0f}",
        # A Java runtime waits by the clock that only counts. The library's remedy for old C libraries takes it for the
        # time of day, and nothing is ever over, or everything at once: it is put off.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",
        # Else a file's time is another one, and what the runtime has learnt of its jars does not fit them.
        "NO_FAKE_STAT": "1",
    }


def _library() -> Path:
    found = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if found is None:
        raise MissingLibraryError("libfaketime is not installed: `apt-get install libfaketime`.")
    return found
