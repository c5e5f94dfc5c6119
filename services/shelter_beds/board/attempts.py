"""Counts failed attempts to sign in, so that nobody can try secrets without end; in this process's memory alone."""

from collections import deque
from typing import Final

WINDOW_SECONDS: Final = 300
PER_CLIENT: Final = 10
PER_ADDRESS: Final = 60  # a shelter's whole staff may come from one address
MOST_NAMES: Final = 10_000


class Attempts:
    """The attempts of the last minutes, by client id and by address."""

    def __init__(self) -> None:
        self._at: dict[tuple[str, str], deque[float]] = {}

    def allow(self, client_id: str, address: str, now: float) -> bool:
        """Count an attempt; False when there were too many by this client id or from this address."""
        limits = {("client", client_id): PER_CLIENT, ("address", address): PER_ADDRESS}
        if len(self._at) >= MOST_NAMES:
            self._forget(now)
        allowed = len(self._at) < MOST_NAMES
        for name, most in limits.items():
            recent = self._recent(name, now)
            allowed = allowed and len(recent) < most
            if allowed:
                recent.append(now)
        return allowed

    def forgive(self, client_id: str, address: str) -> None:
        """Take back the attempt that has just succeeded: a whole shift may sign in with one credential."""
        for name in (("client", client_id), ("address", address)):
            if self._at.get(name):
                self._at[name].pop()

    def _recent(self, name: tuple[str, str], now: float) -> deque[float]:
        recent = self._at.setdefault(name, deque())
        while recent and recent[0] <= now - WINDOW_SECONDS:
            recent.popleft()
        return recent

    def _forget(self, now: float) -> None:
        self._at = {name: at for name, at in self._at.items() if at and at[-1] > now - WINDOW_SECONDS}
