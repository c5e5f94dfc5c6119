"""How many connections and different filters of the feed there may be at once, in this process."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from services.kit.problems import Problem
from services.shelter_beds.feed import metrics
from services.shelter_beds.feed.filters import EVERYTHING_OF, Filter

Key = TypeVar("Key")
FILTERS_SHARE: Final = 5
"""One API client may use a fifth of the filters: each costs a frame of its own, and others need some too."""
RETRY_AFTER_SECONDS: Final = 60


class Places:
    """Who is connected, and what they want. Everything, without a filter, is always one that is made anyway."""

    def __init__(self, connections_per_client: int, filters: int) -> None:
        self._connections_per_client = connections_per_client
        self._filters_per_client = max(1, filters // FILTERS_SHARE)
        self._most_filters = filters
        self._connections: Counter[str] = Counter()
        self._wanted: defaultdict[str, Counter[Filter]] = defaultdict(Counter)
        self._filters: Counter[Filter] = Counter()

    @contextmanager
    def taken(self, client_id: str, wanted: Filter) -> Iterator[None]:
        """Take a place while the block runs; Problem 429 `too-many-feeds`, 503 `too-many-filters`."""
        if refused := self._refusal(client_id, wanted):
            metrics.REFUSED.labels(refused).inc()
            raise Problem(refused, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
        self._connections[client_id] += 1
        if not _is_made_anyway(wanted):
            self._wanted[client_id][wanted] += 1
            self._filters[wanted] += 1
        try:
            yield
        finally:
            _less(self._connections, client_id)
            if not _is_made_anyway(wanted):
                _less(self._wanted[client_id], wanted)
                _less(self._filters, wanted)
                if not self._wanted[client_id]:
                    del self._wanted[client_id]

    def _refusal(self, client_id: str, wanted: Filter) -> str | None:
        if self._connections[client_id] >= self._connections_per_client:
            return "too-many-feeds"
        own: Counter[Filter] = self._wanted.get(client_id, Counter())
        if _is_made_anyway(wanted) or wanted in own:
            return None
        if len(own) >= self._filters_per_client:
            return "too-many-feeds"
        return "too-many-filters" if wanted not in self._filters and len(self._filters) >= self._most_filters else None


def _is_made_anyway(wanted: Filter) -> bool:
    return wanted == EVERYTHING_OF[wanted.test]


def _less(counted: Counter[Key], key: Key) -> None:
    counted[key] -= 1
    if not counted[key]:
        del counted[key]
