"""Decides the whole log again and compares with what was recorded, byte for byte."""

import hashlib
from collections import deque
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec
from msgspec import Struct

from policy.state import PartitionState
from policy.step import Fold
from schemas.events import Count, Sha256
from services.kit.broker import Record

SOURCE, OUTPUT = "client-events", "disclosures"

What = Literal[
    "record-altered",
    "decision-altered",
    "decision-missing",
    "decision-without-record",
    "decision-out-of-order",
    "copy-differs",
    "record-missing",
    "unreadable",
]
MEANINGS: Final[dict[What, str]] = {
    "record-altered": "this is not the record that was decided",
    "decision-altered": "the record decides otherwise than what stands here",
    "decision-missing": "later records were decided, this one was not",
    "decision-without-record": "decided, but the record that it answers is gone",
    "decision-out-of-order": "stands before the decisions that precede it; readers ignore it",
    "copy-differs": "a later copy of a decision says something else; readers keep the first",
    "record-missing": "the log has nothing at this offset",
    "unreadable": "this is no disclosure",
}
# Readers ignore these records: what follows is still proven.
IGNORED: Final[frozenset[What]] = frozenset({"copy-differs", "decision-out-of-order"})
_REMEMBERED = 8  # bytes of each decision's hash, to know a later copy by


@dataclass(frozen=True)
class Difference:
    """A record that is not as it was; unless it is one that readers ignore, nothing after it is proven."""

    topic: str
    partition: int
    offset: int
    what: What


@dataclass
class Report:
    """What a replay found. `undecided`: records at the end that no decision answers yet; `digests` by partition."""

    compared: int = 0
    undecided: int = 0
    differences: list[Difference] = field(default_factory=list)
    digests: dict[int, str] = field(default_factory=dict)


class _Recorded(Struct):
    """As much of a disclosure as says which record it answers, and what it follows from."""

    source_offset: Count
    source_sha256: Sha256
    digest: Sha256


_RECORDED = msgspec.json.Decoder(_Recorded)


class Partition:
    """One partition's replay: takes records of both topics in whatever interleaving, each topic in its order.

    A record is decided when the first output comes that might answer it, so the fold can be one record ahead of
    `compared` and `digest`.
    """

    def __init__(self, partition: int, root_fingerprint: str) -> None:
        self.differences: list[Difference] = []
        self.compared = 0  # also the source offset that is to be answered next
        self.digest = bytes(32)
        self._fold = Fold(PartitionState(partition=partition, root_fingerprint=root_fingerprint))
        self._partition = partition
        self._next = {SOURCE: 0, OUTPUT: 0}
        self._sources: deque[Record] = deque()
        self._outputs: deque[Record] = deque()
        self._decided: bytes | None = None  # what answers the first of the sources, once it was asked
        self._firsts = bytearray()
        self._ahead: Record | None = None
        self._ends: dict[str, Difference] = {}  # by topic, why nothing of it is taken any more
        self._broken = False

    @property
    def partitions(self) -> int:
        """How many partitions the genesis says that the log has; 0 without one."""
        genesis = self._fold.state.control.genesis
        return 0 if genesis is None else genesis.partitions

    def take(self, record: Record) -> None:
        """Take the next record of either topic."""
        topic = record.topic
        if self._broken or topic in self._ends:
            return
        expected = self._next[topic]
        self._next[topic] += 1
        if record.offset != expected:
            self._ends[topic] = Difference(topic, self._partition, expected, "record-missing")
        elif topic == SOURCE:
            self._sources.append(record)
        else:
            self._outputs.append(record)
        self._compare_what_is_there()

    def finish(self) -> int:
        """Note what is left over; return how many records are not decided yet."""
        while self._outputs and not self._broken and not self._ends:
            self._look(self._outputs.popleft(), None)
        if self._broken:
            return 0
        if self._ends:
            self.differences += self._ends.values()
        elif self._ahead is not None and self._sources:
            self._note(SOURCE, self.compared, "decision-missing")
            return 0
        elif self._ahead is not None:
            self._note(OUTPUT, self._ahead.offset, "decision-out-of-order")
        return len(self._sources)

    def _compare_what_is_there(self) -> None:
        while self._sources and self._outputs and not self._broken:
            self._compare(self._sources[0], self._outputs.popleft())
        for topic, waiting in ((SOURCE, self._sources), (OUTPUT, self._outputs)) if self._ends else ():
            # Only now, so that what stands before it is compared first.
            if topic in self._ends and not waiting and not self._broken:
                self._break(self._ends[topic])

    def _compare(self, source: Record, output: Record) -> None:
        if self._decided is None:
            self._decided = self._fold.step(source.timestamp_ms, source.key, source.headers, source.value)
        if output.value == self._decided and output.key == source.key and not output.headers:
            self.compared += 1
            self.digest, self._decided = self._fold.state.digest, None
            self._firsts += _known_by(output)
            self._sources.popleft()
        else:
            self._look(output, self._decided)

    def _look(self, output: Record, decided: bytes | None) -> None:
        """Say what an output is that is not the next decision; `decided` is what it would be if the record is there."""
        try:
            recorded = _RECORDED.decode(output.value or b"")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._break(Difference(OUTPUT, self._partition, output.offset, "unreadable"))
            return
        if recorded.source_offset > self.compared:
            self._ahead = self._ahead or output
        elif recorded.source_offset < self.compared:
            start = recorded.source_offset * _REMEMBERED
            if output.headers or self._firsts[start : start + _REMEMBERED] != _known_by(output):
                self._note(OUTPUT, output.offset, "copy-differs")
        elif decided is None:
            self._break(Difference(OUTPUT, self._partition, output.offset, "decision-without-record"))
        elif _RECORDED.decode(decided).source_sha256 != recorded.source_sha256 and _follows(
            self.digest, output, recorded
        ):
            self._break(Difference(SOURCE, self._partition, recorded.source_offset, "record-altered"))
        else:
            self._break(Difference(OUTPUT, self._partition, output.offset, "decision-altered"))

    def _break(self, difference: Difference) -> None:
        self.differences.append(difference)
        self._broken = True

    def _note(self, topic: str, offset: int, what: What) -> None:
        self.differences.append(Difference(topic, self._partition, offset, what))


class Replay:
    """The replay of a log under the root key with this fingerprint: all that is given to it besides the log."""

    def __init__(self, root_fingerprint: str, only: int | None = None) -> None:
        self._partitions: dict[int, Partition] = {}
        self._root_fingerprint = root_fingerprint
        self._only = only

    def take(self, record: Record) -> None:
        """Take a record of either topic; of one topic and partition in offset order."""
        if self._only is not None and record.partition != self._only:
            return
        found = self._partitions.get(record.partition)
        if found is None:
            found = self._partitions[record.partition] = Partition(record.partition, self._root_fingerprint)
        found.take(record)

    def report(self) -> Report:
        """What was found, once everything was taken."""
        report = Report()
        for number in sorted(self._partitions):
            partition = self._partitions[number]
            report.undecided += partition.finish()
            report.compared += partition.compared
            report.digests[number] = partition.digest.hex()
            report.differences += partition.differences
        report.differences += self._absent()
        return report

    def _absent(self) -> list[Difference]:
        """Whole partitions that are not there, though a genesis says that they must be."""
        if self._only is not None:
            return []
        count = max((partition.partitions for partition in self._partitions.values()), default=0)
        absent = sorted(set(range(count)) - self._partitions.keys())
        return [Difference(SOURCE, number, 0, "record-missing") for number in absent]


def _known_by(output: Record) -> bytes:
    """Tells a decision from another one by its key and its bytes; which is which is told by the key's length."""
    length = -1 if output.key is None else len(output.key)
    known = b"%d:%b%b" % (length, output.key or b"", output.value or b"")
    return hashlib.sha256(known).digest()[:_REMEMBERED]


def _follows(before: bytes, output: Record, recorded: _Recorded) -> bool:
    """Whether a disclosure is whole in itself: its digest is that of the one before it and of its own bytes."""
    value = output.value or b""
    undigested = value.replace(b'"digest":"%b"' % recorded.digest.encode(), b'"digest":"%b"' % (b"0" * 64), 1)
    return hashlib.sha256(before + undigested).hexdigest() == recorded.digest
