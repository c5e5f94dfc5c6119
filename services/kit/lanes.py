"""Which outbox rows may be sent now: never two unacknowledged rows of one lane, so that nothing can overtake."""

from collections import deque
from collections.abc import Iterable

from services.kit.outbox import OutboxRow

Lane = tuple[str, int | None]


class Lanes:
    """Rows by lane, a lane being an aggregate's records for one given partition, or for none.

    Only the first row of a lane is ever on its way; the next follows when the log has acknowledged it. So whatever
    becomes of a send, late, failed or of unknown outcome, no later record of its lane can already stand on the log:
    sending it again can double it, never put it behind its successors. Pure.
    """

    def __init__(self, in_flight_limit: int) -> None:
        self._limit = in_flight_limit
        self._waiting: dict[Lane, deque[OutboxRow]] = {}
        self._ready: deque[OutboxRow] = deque()
        self._in_flight: dict[int, OutboxRow] = {}
        self._known: set[int] = set()
        self._parked: set[str] = set()

    @property
    def known(self) -> set[int]:
        """The ids of all rows held, those acknowledged and not yet forgotten included."""
        return self._known

    @property
    def in_flight(self) -> int:
        """How many rows are on their way."""
        return len(self._in_flight)

    def add(self, rows: Iterable[OutboxRow]) -> None:
        """Take rows over, in the order of their ids; those of parked aggregates are left where they are."""
        for row in rows:
            if row.aggregate in self._parked:
                continue
            self._known.add(row.id)
            lane = self._waiting.setdefault(_lane(row), deque())
            if not lane:
                self._ready.append(row)
            lane.append(row)

    def next_to_send(self) -> list[OutboxRow]:
        """Return the rows to send now, and count them as on their way."""
        free = min(self._limit - len(self._in_flight), len(self._ready))
        rows = [self._ready.popleft() for _ in range(free)]
        self._in_flight.update((row.id, row) for row in rows)
        return rows

    def acknowledged(self, row: OutboxRow) -> None:
        """Let its lane go on: the log has it. The row stays known until `forget`."""
        del self._in_flight[row.id]
        lane = self._waiting[_lane(row)]
        lane.popleft()
        if lane:
            self._ready.append(lane[0])
        else:
            del self._waiting[_lane(row)]

    def failed(self, row: OutboxRow) -> None:
        """Its send failed or its outcome is unknown: it is the next of its lane again."""
        del self._in_flight[row.id]
        self._ready.append(row)

    def park(self, row: OutboxRow) -> None:
        """Drop a row that can never be sent, and every row of its aggregate that is not on its way."""
        del self._in_flight[row.id]
        self._parked.add(row.aggregate)
        for lane in [lane for lane in self._waiting if lane[0] == row.aggregate]:
            kept = deque(held for held in self._waiting[lane] if held.id in self._in_flight)
            self._known -= {held.id for held in self._waiting[lane]} - {held.id for held in kept}
            self._waiting[lane] = kept
            if not kept:
                del self._waiting[lane]
        self._ready = deque(held for held in self._ready if held.aggregate != row.aggregate)

    def park_is_durable(self, aggregate: str) -> None:
        """Take rows of the aggregate again: the outbox itself now holds them back until it is unparked."""
        self._parked.discard(aggregate)

    def forget(self, ids: Iterable[int]) -> None:
        """Let go of rows that are deleted from the outbox."""
        self._known.difference_update(ids)


def _lane(row: OutboxRow) -> Lane:
    return row.aggregate, row.partition
