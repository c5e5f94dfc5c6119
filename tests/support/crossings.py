"""Counts what crossed and what should have, record by record as both topics are read, however long they are."""

import hashlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec
from msgspec import Struct

from services.audit.export import live
from services.audit.replay import Replay
from services.kit.broker import Record
from tests.support.boundary_rig import SOURCE

_HASH_BYTES = 8  # kept of each answer, to know a later copy by


class _Event(Struct):
    type: str


class _Decision(Struct):
    verdict: str


class _Envelope(Struct):
    boxes: dict[str, msgspec.Raw]


class _Answer(Struct):
    source_offset: int
    decisions: tuple[_Decision, ...] = ()
    sealed: tuple[_Envelope, ...] = ()

    def identifies(self) -> bool:
        """Whether anybody is told more than the need of somebody unnamed."""
        permitted = any(decision.verdict == "permit" for decision in self.decisions)
        return permitted or any(envelope.boxes.keys() - {"need"} for envelope in self.sealed)


_EVENT, _ANSWER = msgspec.json.Decoder(_Event), msgspec.json.Decoder(_Answer)


@dataclass
class Tally:
    """What stands on the log. `due`: events before their client's revocation, `passed` of them crossed.

    `leaked`: events after their client's revocation that crossed. `compared`: records whose answer a replay gave again,
    byte for byte. `faults`: where the answers are not one for each record, in order, or not what the replay gives.
    """

    revoked: int = 0
    requested: int = 0
    leaked: int = 0
    passed: int = 0
    due: int = 0
    records: int = 0
    compared: int = 0
    copies: int = 0
    faults: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Count another partition's, too."""
        for name, counted in vars(other).items():
            setattr(self, name, getattr(self, name) + counted)


async def tally(kafka: str, root_fingerprint: str, partitions: Iterable[int]) -> Tally:
    """Read both topics and count; of a partition, only what it takes to decide it again is kept."""
    total = Tally()
    for partition in partitions:
        crossings = _Crossings(partition, root_fingerprint)
        async for run in live(kafka, [partition]):
            for record in run:
                crossings.take(record)
        total.add(crossings.finish())
    return total


class _Crossings:
    """One partition's: takes records of both topics in whatever interleaving, each topic in its order."""

    def __init__(self, partition: int, root_fingerprint: str) -> None:
        self._tally = Tally()
        self._partition = partition
        self._replay = Replay(root_fingerprint, only=partition)
        self._sources: deque[Record] = deque()
        self._answers: deque[_Answer] = deque()
        self._firsts: list[bytes] = []
        self._revoked: set[bytes | None] = set()

    def take(self, record: Record) -> None:
        """Take the next record of either topic."""
        self._replay.take(record)
        if record.topic == SOURCE:
            self._sources.append(record)
        else:
            self._take_answer(record)
        while self._sources and self._answers:
            self._count(self._sources.popleft(), self._answers.popleft())

    def finish(self) -> Tally:
        """What was counted, and what is left over or differs."""
        report = self._replay.report()
        self._tally.compared = report.compared
        for difference in report.differences:
            self._fault(f"{difference.topic} offset {difference.offset}: {difference.what}")
        if left := len(self._sources) + len(self._answers) + report.undecided:
            self._fault(f"{left} records or answers without their counterpart")
        return self._tally

    def _take_answer(self, record: Record) -> None:
        """Keep first occurrences, as every reader does; later ones must be copies."""
        answer = _ANSWER.decode(record.value or b"")
        known_by = hashlib.sha256(record.value or b"").digest()[:_HASH_BYTES]
        if answer.source_offset == len(self._firsts):
            self._firsts.append(known_by)
            self._answers.append(answer)
        elif answer.source_offset > len(self._firsts):
            self._fault(f"a hole before the answer to {answer.source_offset}")
        elif self._firsts[answer.source_offset] != known_by:
            self._fault(f"a second answer to {answer.source_offset} that differs")
        else:
            self._tally.copies += 1

    def _count(self, source: Record, answer: _Answer) -> None:
        tally, kind = self._tally, _EVENT.decode(source.value or b"").type
        tally.records += 1
        if kind == "consent.revoked":
            tally.revoked += 1
            self._revoked.add(source.key)
        elif kind == "referral.requested":
            crossed, legitimate = answer.identifies(), source.key not in self._revoked
            tally.requested += 1
            tally.due += legitimate
            tally.passed += crossed and legitimate
            tally.leaked += crossed and not legitimate

    def _fault(self, what: str) -> None:
        self._tally.faults.append(f"partition {self._partition}: {what}")
