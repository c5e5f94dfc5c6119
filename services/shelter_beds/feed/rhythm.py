"""How often the feed speaks, and how long it waits for whom."""

from dataclasses import dataclass
from typing import Final

BEFORE_ALL: Final = float("-inf")


@dataclass(frozen=True)
class Rhythm:
    """Seconds, but for `retry_between` (milliseconds) and `send_buffer` (bytes that the kernel keeps for a reader).

    A reader must show its access again after `access_for`, another value for each: it comes back with what it has then.
    A reader may leave what was sent to it untaken for `patience`, and has `farewell` to take the reason why it is left.
    """

    frames_every: float = 0.5
    heartbeat_every: float = 15.0
    looked_after_every: float = 0.25
    patience: float = 10.0
    farewell: float = 1.0
    access_for: tuple[float, float] = (300.0, 600.0)
    retry_between: tuple[int, int] = (500, 4000)
    send_buffer: int = 65536


class Pace:
    """Lets a frame go at once after a quiet time, and then one in so many seconds; pure, the time is given."""

    def __init__(self, every: float) -> None:
        self._every = every
        self._last = BEFORE_ALL

    def wait(self, now: float) -> float:
        """Return for how many seconds the next frame must wait."""
        return max(0.0, self._last + self._every - now)

    def went(self, now: float) -> None:
        """Note that a frame went."""
        self._last = now
