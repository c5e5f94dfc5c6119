"""How long doubts last: counts them by why they last, and pages once for each reason for which one lasts too long."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Final

from prometheus_client import Gauge

from services.kit import logs

PAGED_AFTER: Final = 30.0
"""Seconds, unless a service's settings say otherwise: restating takes less than one while all is well."""

IN_DOUBT = Gauge("threshold_in_doubt", "Clients, or partitions, of which nothing crosses: in doubt", ["service", "why"])
OLDEST = Gauge("threshold_in_doubt_oldest_seconds", "For how long the oldest is known: alarm at 30", ["service", "why"])


class Lasting:
    """The doubts of one service, by names that are never told; `whys` are all reasons for which one may last.

    A page is for a reason, however many doubts it has: whoever writes rubbish to the log makes no flood of ours.
    """

    def __init__(
        self, service: str, whys: Collection[str], paged_after: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._service = service
        self._whys = whys
        self._paged_after = paged_after
        self._clock = clock
        self._since: dict[str, float] = {}
        self._paged: set[str] = set()

    def look(self, current: Mapping[str, str]) -> None:
        """Take note of who is in doubt now, and why each still is."""
        now = self._clock()
        self._since = {name: self._since.get(name, now) for name in current}
        oldest = dict.fromkeys(self._whys, now)
        for name, since in self._since.items():
            oldest[current[name]] = min(oldest[current[name]], since)
        counts = Counter(current.values())
        for why in self._whys:
            IN_DOUBT.labels(self._service, why).set(counts[why])
            OLDEST.labels(self._service, why).set(now - oldest[why])
            self._page(why, counts[why], now - oldest[why])

    def _page(self, why: str, count: int, seconds: float) -> None:
        if not count or seconds < self._paged_after:
            self._paged.discard(why)
        elif why not in self._paged:
            self._paged.add(why)
            logs.get().error("a doubt lasts: nothing of it crosses", why=why, count=count, seconds=int(seconds))
