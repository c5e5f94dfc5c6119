"""Counts failed attempts to sign in, so that nobody can try secrets without end; in this process's memory alone.

They are counted by address, and by address and client id: who knows a client id must not keep its owner out, elsewhere.
Memory is bounded by forgetting who tried the longest ago: refusing everybody would let anybody lock all others out.
"""

from collections import deque
from typing import Final

WINDOW_SECONDS: Final = 300
PER_CLIENT: Final = 10
PER_ADDRESS: Final = 60  # a shelter's whole staff may come from one address
MOST_NAMES: Final = 10_000

Name = tuple[str, ...]


class Attempts:
    """The attempts of the last minutes; who tried last stands last."""

    def __init__(self) -> None:
        self._at: dict[Name, deque[float]] = {}

    def __len__(self) -> int:
        return len(self._at)

    def allow(self, client_id: str, address: str, now: float) -> bool:
        """Count an attempt; False, and not counted, when there were too many from this address, or so with this id.

        Before its secret is looked at: of many at once, none would have been counted yet.
        """
        names = _names(client_id, address)
        if any(
            len(self._recent(name, now)) >= most for name, most in zip(names, (PER_ADDRESS, PER_CLIENT), strict=True)
        ):
            return False
        for name in names:
            self._at[name] = recent = self._at.pop(name, deque())
            recent.append(now)
        while len(self._at) > MOST_NAMES:
            del self._at[next(iter(self._at))]
        return True

    def forgive(self, client_id: str, address: str) -> None:
        """Take back the attempt that has just succeeded: a whole shift may sign in with one credential."""
        for name in _names(client_id, address):
            if self._at.get(name):
                self._at[name].pop()

    def _recent(self, name: Name, now: float) -> deque[float]:
        recent = self._at.get(name, deque())
        while recent and recent[0] <= now - WINDOW_SECONDS:
            recent.popleft()
        return recent


def _names(client_id: str, address: str) -> tuple[Name, Name]:
    return (address,), (address, client_id.strip())
