"""How far one partition was applied, by the topic's own offsets or by those of its source."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Protocol

from prometheus_client import Counter

from services.kit import logs
from services.kit.broker import Record
from services.kit.positions import Reading, ReadingAutomaton

DIFFERING = Counter("threshold_reader_differing_copies", "Later copies unlike the first record: alarm", ["topic"])

SourceOffset = Callable[[Record], int]


class Mark(Protocol):
    """How far one partition was applied."""

    @property
    def next(self) -> int:
        """The offset that comes next."""

    def take(self, records: Sequence[Record], now: float) -> list[Record]:
        """Return the records to apply, in order, and move past them."""

    def gap_age(self, now: float) -> float:
        """Return for how many seconds a record that was met has been out of reach."""


class OwnMark:
    """A mark that is the topic's own offset: what is below it was applied. Only a compacted topic may have holes."""

    def __init__(self, next_offset: int, *, compacted: bool = False) -> None:
        self.next = next_offset
        self._compacted = compacted

    def take(self, records: Sequence[Record], now: float) -> list[Record]:  # noqa: ARG002 - no copies, no clock
        """Return the records from the mark on; raise ValueError for a hole."""
        new = [record for record in records if record.offset >= self.next]
        for place, record in enumerate(new, self.next):
            if record.offset != place and not self._compacted:
                raise ValueError(f"Read offset {record.offset} where {place} comes next.")
        self.next = new[-1].offset + 1 if new else self.next
        return new

    def gap_age(self, now: float) -> float:  # noqa: ARG002 - there is none
        """Return 0: a hole raises."""
        return 0.0


class SourceMark:
    """A mark that is the source's offset, moved by the reading automaton."""

    def __init__(self, next_offset: int, topic: str, source_offset: SourceOffset) -> None:
        self._automaton = ReadingAutomaton(next_offset)
        self._topic = topic
        self._source_offset = source_offset

    @property
    def next(self) -> int:
        """The source offset that comes next."""
        return self._automaton.next

    def take(self, records: Sequence[Record], now: float) -> list[Record]:
        """Return the records that the automaton applies; raise the alarm for each later copy that differs."""
        return [record for record in records if self._read(record, now) is Reading.APPLY]

    def gap_age(self, now: float) -> float:
        """Return for how many seconds a record that was met has been out of reach."""
        return self._automaton.gap_age(now)

    def _read(self, record: Record, now: float) -> Reading:
        digest = hashlib.sha256(record.value or b"").digest()
        reading = self._automaton.read(self._source_offset(record), digest, now)
        if reading is Reading.DIFFERS:
            DIFFERING.labels(self._topic).inc()
            logs.get().error(
                "later copy differs from the first",
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
            )
        return reading
