"""The reading automaton: the one rule by which readers of derived topics move their mark."""

from collections import OrderedDict
from enum import Enum

COPIES_REMEMBERED = 1024
ALARM_AFTER = 60.0  # seconds that a gap may stay open


class Reading(Enum):
    """What the automaton says of a record of a derived topic."""

    APPLY = "apply"  # the exact successor of the mark
    DROP = "drop"  # at or below the mark: a late copy, by a restart or a zombie
    DIFFERS = "differs"  # at or below the mark and not what stood there first: drop it, and raise the alarm
    AHEAD = "ahead"  # beyond the successor: ignore it and keep reading


class ReadingAutomaton:
    """The one rule by which every reader of one partition of a derived topic moves its mark.

    A record of a derived topic carries the offset of the record it was made from, its source. `next` is the source
    offset that comes next: everything below it was applied, in order, exactly once. First occurrences arrive in order;
    whatever a zombie or a restarted writer adds later is a copy and changes nothing. Of the last
    COPIES_REMEMBERED records applied it knows the digests, so a later copy that differs is told from one that does
    not. Pure: the time, in seconds of any one clock, comes with the record.
    """

    def __init__(self, next_offset: int) -> None:
        self.next = next_offset
        self._digests: OrderedDict[int, bytes] = OrderedDict()
        self._furthest = next_offset  # one past the highest source offset met
        self._gap_since: float | None = None

    def read(self, source_offset: int, digest: bytes, now: float) -> Reading:
        """Say what to do with a record, and move the mark if it is to be applied.

        `digest` identifies the record's bytes; two records of one source offset are copies when it is equal.
        """
        self._furthest = max(self._furthest, source_offset + 1)
        if source_offset > self.next:
            self._gap_since = now if self._gap_since is None else self._gap_since
            return Reading.AHEAD
        if source_offset < self.next:
            return Reading.DROP if self._digests.get(source_offset, digest) == digest else Reading.DIFFERS
        self._apply(digest)
        return Reading.APPLY

    def gap_age(self, now: float) -> float:
        """Return for how many seconds a record that was met has been out of reach of the mark; 0 if none is."""
        return 0.0 if self._gap_since is None else now - self._gap_since

    def _apply(self, digest: bytes) -> None:
        self._digests[self.next] = digest
        if len(self._digests) > COPIES_REMEMBERED:
            self._digests.popitem(last=False)
        self.next += 1
        if self.next == self._furthest:
            self._gap_since = None
