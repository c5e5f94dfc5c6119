"""Replay proves an untouched log, and names what was touched in any other."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from msgspec.structs import replace

from bench.workload import PARTITIONS
from services.audit import replay
from services.audit.replay import OUTPUT, SOURCE, Difference, Partition, What
from services.kit.broker import Record
from tests.support.recorded import decide, exchanged, find, recorded, replayed, with_value, workload

WORKLOAD = workload()
ROOT = WORKLOAD.root_fingerprint
LOG = recorded(WORKLOAD)
FORGED = b"f" * 64
# All tampering happens in one partition; what the others have to do with it is tested once.
CHOSEN = find(LOG, OUTPUT, lambda value: b'"verdict":"permit"' in value).partition
MINE = [record for record in LOG if record.partition == CHOSEN]
SOURCES = [record for record in MINE if record.topic == SOURCE]
OUTPUTS = [record for record in MINE if record.topic == OUTPUT]
PERMIT = find(OUTPUTS, OUTPUT, lambda value: b'"verdict":"permit"' in value)


@dataclass(frozen=True)
class Tampering:
    """What somebody did to the log, and how replay must name it: topic, offset, what; None for nothing."""

    log: list[Record]
    topic: str = SOURCE
    offset: int = 0
    what: What | None = None

    @property
    def expected(self) -> list[Difference]:
        return [Difference(self.topic, CHOSEN, self.offset, self.what)] if self.what else []


def source(has: bytes) -> Record:
    return find(MINE, SOURCE, lambda value: has in value)


def altered(record: Record, old: bytes, new: bytes) -> list[Record]:
    return exchanged(MINE, record, with_value(record, old, new))


def flipped(record: Record, after: bytes) -> list[Record]:
    """The log with one character changed, some way behind `after`, in a record."""
    value = record.value or b""
    place = value.index(after) + len(after) + 3
    other = b"A" if value[place : place + 1] != b"A" else b"B"
    return exchanged(MINE, record, replace(record, value=value[:place] + other + value[place + 1 :]))


def without(record: Record) -> list[Record]:
    return exchanged(MINE, record)


def closed_up(record: Record) -> list[Record]:
    """The log as if the record had never stood there: all that follow it have moved up."""
    return [
        replace(each, offset=each.offset - 1)
        if (each.topic, each.partition) == (record.topic, record.partition) and each.offset > record.offset
        else each
        for each in without(record)
    ]


def swapped(one: Record, other: Record) -> list[Record]:
    log = exchanged(MINE, one, replace(other, offset=one.offset))
    return exchanged(log, other, replace(one, offset=other.offset))


def appended(topic: str, value: bytes, key: bytes | None = b"control/forged") -> list[Record]:
    last = [record for record in MINE if record.topic == topic][-1]
    return [*MINE, replace(last, offset=last.offset + 1, key=key, value=value)]


def claiming(offset: int) -> bytes:
    return json.dumps({**json.loads(OUTPUTS[-1].value or b""), "source_offset": offset}).encode()


REFERRAL = next(one for one in SOURCES if one.offset == PERMIT.offset)
CONSENT, CONTROL = source(b"consent.granted"), source(b"organization.changed")
THIRD, FOURTH = SOURCES[30], SOURCES[31]
COPY = OUTPUTS[5]

TAMPERINGS: dict[str, Tampering] = {
    "nothing": Tampering(MINE),
    "a box": Tampering(flipped(REFERRAL, b'"identity":"'), SOURCE, REFERRAL.offset, "record-altered"),
    "a box that crossed": Tampering(flipped(PERMIT, b'"identity":"'), OUTPUT, PERMIT.offset, "decision-altered"),
    "a consent": Tampering(
        altered(CONSENT, b'"verbal"' if b'"verbal"' in (CONSENT.value or b"") else b'"written"', b'"electronic"'),
        SOURCE,
        CONSENT.offset,
        "record-altered",
    ),
    "a control record": Tampering(
        altered(CONTROL, b'"kind":"provider"', b'"kind":"community"'), SOURCE, CONTROL.offset, "record-altered"
    ),
    "a verdict": Tampering(
        altered(PERMIT, b'"verdict":"permit"', b'"verdict":"status"'), OUTPUT, PERMIT.offset, "decision-altered"
    ),
    "a decision's source hash": Tampering(
        altered(PERMIT, json.loads(PERMIT.value or b"")["source_sha256"].encode(), FORGED),
        OUTPUT,
        PERMIT.offset,
        "decision-altered",
    ),
    "a decision's digest": Tampering(
        altered(PERMIT, json.loads(PERMIT.value or b"")["digest"].encode(), FORGED),
        OUTPUT,
        PERMIT.offset,
        "decision-altered",
    ),
    "a record's key": Tampering(
        exchanged(MINE, REFERRAL, replace(REFERRAL, key=b"another")), SOURCE, REFERRAL.offset, "record-altered"
    ),
    "a record's time": Tampering(
        exchanged(MINE, REFERRAL, replace(REFERRAL, timestamp_ms=REFERRAL.timestamp_ms - 1)),
        SOURCE,
        REFERRAL.offset,
        "record-altered",
    ),
    "a record's headers": Tampering(
        exchanged(MINE, REFERRAL, replace(REFERRAL, headers=(("traceparent", b"00"),))),
        SOURCE,
        REFERRAL.offset,
        "record-altered",
    ),
    "a record's value removed": Tampering(
        exchanged(MINE, REFERRAL, replace(REFERRAL, value=None)), SOURCE, REFERRAL.offset, "record-altered"
    ),
    "a decision's key": Tampering(
        exchanged(MINE, PERMIT, replace(PERMIT, key=b"another")), OUTPUT, PERMIT.offset, "decision-altered"
    ),
    "a decision's headers": Tampering(
        exchanged(MINE, PERMIT, replace(PERMIT, headers=(("note", b"x"),))), OUTPUT, PERMIT.offset, "decision-altered"
    ),
    "a record taken out": Tampering(without(REFERRAL), SOURCE, REFERRAL.offset, "record-missing"),
    "a record taken out, the gap closed": Tampering(closed_up(THIRD), SOURCE, THIRD.offset, "record-altered"),
    "a decision taken out": Tampering(without(PERMIT), OUTPUT, PERMIT.offset, "record-missing"),
    "a decision taken out, the gap closed": Tampering(closed_up(PERMIT), SOURCE, PERMIT.offset, "decision-missing"),
    "the last record taken out": Tampering(without(SOURCES[-1]), OUTPUT, OUTPUTS[-1].offset, "decision-without-record"),
    "two records swapped": Tampering(swapped(THIRD, FOURTH), SOURCE, THIRD.offset, "record-altered"),
    "two decisions swapped": Tampering(
        swapped(OUTPUTS[30], OUTPUTS[31]), SOURCE, OUTPUTS[31].offset, "decision-missing"
    ),
    "a record put in": Tampering(appended(OUTPUT, b"{}"), OUTPUT, len(OUTPUTS), "unreadable"),
    "a decision of nothing": Tampering(
        appended(OUTPUT, claiming(len(OUTPUTS))), OUTPUT, len(OUTPUTS), "decision-without-record"
    ),
    "a decision far ahead": Tampering(appended(OUTPUT, claiming(10**9)), OUTPUT, len(OUTPUTS), "decision-out-of-order"),
    "a late copy": Tampering(appended(OUTPUT, COPY.value or b"", COPY.key)),
    "a late copy that differs": Tampering(
        appended(OUTPUT, claiming(5), COPY.key), OUTPUT, len(OUTPUTS), "copy-differs"
    ),
    "a late copy under another key": Tampering(
        appended(OUTPUT, COPY.value or b""), OUTPUT, len(OUTPUTS), "copy-differs"
    ),
    "a late copy and white space": Tampering(
        appended(OUTPUT, (COPY.value or b"") + b" ", COPY.key), OUTPUT, len(OUTPUTS), "copy-differs"
    ),
    "a decision nested too deep": Tampering(appended(OUTPUT, b'{"a":' * 10**5), OUTPUT, len(OUTPUTS), "unreadable"),
    "an early and a late record": Tampering(
        [each for each in flipped(REFERRAL, b'"identity":"') if each not in (SOURCES[-2], OUTPUTS[-2])],
        SOURCE,
        REFERRAL.offset,
        "record-altered",
    ),
}
ORDERS: dict[str, Callable[[Record], tuple[int, ...]]] = {
    "records first": lambda record: (record.topic == OUTPUT, record.partition, record.offset),
    "decisions first": lambda record: (record.topic == SOURCE, record.partition, record.offset),
    "side by side": lambda record: (record.offset, record.partition, record.topic == OUTPUT),
    "by turns of seven": lambda record: (record.partition, record.offset // 7, record.topic == SOURCE, record.offset),
}


def test_an_untouched_log_is_byte_identical() -> None:
    report = replayed(LOG, ROOT)
    assert (report.compared, report.undecided, report.differences) == (len(LOG) // 2, 0, [])
    last = {record.partition: json.loads(record.value or b"")["digest"] for record in LOG if record.topic == OUTPUT}
    assert report.digests == last
    assert len(last) == PARTITIONS


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_what_was_done_to_the_log_is_named(tampering: str, order: str) -> None:
    case = TAMPERINGS[tampering]
    assert replayed(sorted(case.log, key=ORDERS[order]), ROOT, CHOSEN).differences == case.expected


def test_other_partitions_and_what_is_before_stay_proven() -> None:
    others = [record for record in LOG if record.partition != CHOSEN]
    report = replayed([*others, *TAMPERINGS["a box"].log], ROOT)
    assert report.differences == TAMPERINGS["a box"].expected
    assert report.compared == len(others) // 2 + REFERRAL.offset


@pytest.mark.parametrize("ignored", ["a decision far ahead", "a late copy that differs"])
def test_what_readers_ignore_ends_no_proof(ignored: str) -> None:
    later = replace(SOURCES[-1], offset=len(SOURCES))
    answer = replace(decide([*SOURCES, later], ROOT)[-1], offset=len(OUTPUTS) + 1)
    report = replayed([*TAMPERINGS[ignored].log, later, answer], ROOT, CHOSEN)
    assert report.compared == len(SOURCES) + 1
    assert report.differences == TAMPERINGS[ignored].expected


def test_records_that_nobody_decided_yet_are_counted() -> None:
    report = replayed([record for record in MINE if record not in OUTPUTS[-4:]], ROOT, CHOSEN)
    assert (report.undecided, report.differences) == (4, [])


def test_a_partition_that_is_not_there_is_missed() -> None:
    rest = [record for record in LOG if record.partition != CHOSEN]
    assert replayed(rest, ROOT).differences == [Difference(SOURCE, CHOSEN, 0, "record-missing")]


def test_one_partition_can_be_replayed_alone() -> None:
    other = (CHOSEN + 1) % PARTITIONS
    assert replayed(TAMPERINGS["a box"].log, ROOT, other).differences == []
    assert replayed(TAMPERINGS["a box"].log, ROOT, CHOSEN).differences == TAMPERINGS["a box"].expected


def test_a_log_under_another_root_key_proves_nothing() -> None:
    report = replayed(LOG, "0" * 64)
    assert report.compared == 0
    assert {difference.offset for difference in report.differences} == {0}
    assert len(report.differences) == PARTITIONS


class IgnoresValues(Partition):
    """Compares nothing."""

    def _compare(self, source: Record, output: Record) -> None:
        decided = self._fold.step(source.timestamp_ms, source.key, source.headers, source.value)
        self._decided = decided
        super()._compare(source, replace(output, value=decided))


class IgnoresTheOutputsKey(Partition):
    """Compares values only."""

    def _compare(self, source: Record, output: Record) -> None:
        super()._compare(source, replace(output, key=source.key, headers=()))


class IgnoresHoles(Partition):
    """Takes whatever comes for the next record."""

    def take(self, record: Record) -> None:
        super().take(replace(record, offset=self._next[record.topic]))


class IgnoresCopies(Partition):
    """Looks at the first of each decision only."""

    def _note(self, topic: str, offset: int, what: What) -> None:
        if what != "copy-differs":
            super()._note(topic, offset, what)


class BlamesTheRecord(Partition):
    """Believes the hash that a decision states."""

    def _break(self, difference: Difference) -> None:
        super()._break(replay.Difference(SOURCE, difference.partition, difference.offset, "record-altered"))


class ForgetsWhatIsLeft(Partition):
    """Ends when one of the topics does."""

    def finish(self) -> int:
        return 0


@pytest.mark.parametrize(
    "planted",
    [IgnoresValues, IgnoresTheOutputsKey, IgnoresHoles, IgnoresCopies, BlamesTheRecord, ForgetsWhatIsLeft],
)
def test_a_bug_planted_in_the_checker_is_caught_by_these_cases(
    planted: type[Partition], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing() -> list[str]:
        found = {name: replayed(case.log, ROOT, CHOSEN).differences for name, case in TAMPERINGS.items()}
        return [name for name, case in TAMPERINGS.items() if found[name] != case.expected]

    monkeypatch.setattr(replay, "Partition", planted)
    assert failing() != []
