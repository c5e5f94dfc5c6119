"""How long doubts last: counts them by why they last, and pages once for each that lasts too long."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Final

from prometheus_client import Gauge

from services.kit import logs

PAGED_AFTER: Final = 30.0
"""Seconds, unless a service's settings say otherwise: restating takes less than one while all is well."""

IN_DOUBT = Gauge("threshold_in_doubt", "Clients, or partitions, of which nothing crosses: in doubt", ["service", "why"])
OLDEST = Gauge("threshold_in_doubt_oldest_seconds", "Since when the oldest of them is known", ["service", "why"])


class Lasting:
    """The doubts of one service, by names that are never told; `whys` are all reasons for which one may last."""

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
        self._paged &= current.keys()
        oldest = dict.fromkeys(self._whys, now)
        for name, since in self._since.items():
            oldest[current[name]] = min(oldest[current[name]], since)
            if now - since >= self._paged_after and name not in self._paged:
                self._paged.add(name)
                logs.get().error("a doubt lasts: nothing of it crosses", why=current[name], seconds=int(now - since))
        counts = Counter(current.values())
        for why in self._whys:
            IN_DOUBT.labels(self._service, why).set(counts[why])
            OLDEST.labels(self._service, why).set(now - oldest[why])
