"""The custodian's lease: for how long what it released may still start to be sent."""

import time
from collections.abc import Callable
from typing import Final

Clock = Callable[[], float]

MARGIN_SECONDS: Final = 1.0
"""What the custodian adds before it counts a lease as over, we keep away from its end."""


class LeasePassedError(Exception):
    """Too late: nothing of this release may be sent."""


def since_boot() -> float:
    """Return seconds since boot, sleep of the machine included: it cannot be set, and never stands still."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Lease:
    """Begins before the custodian is asked, so that its answer's way back does not prolong it."""

    def __init__(self, clock: Clock = since_boot) -> None:
        self._clock = clock
        self._began = clock()
        self._seconds = 0.0

    def lasts(self, seconds: float) -> None:
        """Note what the custodian granted, counted from the beginning."""
        self._seconds = seconds

    def remaining(self) -> float:
        """Return for how many seconds sending may still start; negative once it may not."""
        return self._began + self._seconds - MARGIN_SECONDS - self._clock()

    def check(self) -> None:
        """Raise LeasePassedError unless sending may start now."""
        if self.remaining() <= 0:
            raise LeasePassedError
