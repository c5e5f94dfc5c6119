"""Both topics of a log in memory, as a boundary would have left them."""

from collections.abc import Callable, Iterable
from itertools import count

from msgspec.structs import replace

from bench.workload import PARTITIONS, Workload
from policy.state import PartitionState
from policy.step import Fold
from services.audit.replay import OUTPUT, SOURCE, Replay, Report
from services.kit.broker import Record

START = 1_795_348_800_000  # ms: 2026-11-22T12:00:00Z


def workload(events: int = 400) -> Workload:
    """A community's control records, and then this many events about few clients: each meets all that can happen."""
    return Workload(seed=20261122, events=events, clients=24)


def recorded(source: Workload) -> list[Record]:
    """What stands on client-events, partition by partition, and then what one serial fold decided."""
    sources: list[list[Record]] = [[] for _ in range(PARTITIONS)]
    for (partition, key, value), time in zip(source.records(), count(START)):
        offset = len(sources[partition])
        sources[partition].append(Record(SOURCE, partition, offset, time, key, (), value))
    decided = [decide(each, source.root_fingerprint) for each in sources]
    return [record for partition in (*sources, *decided) for record in partition]


def decide(sources: Iterable[Record], root_fingerprint: str) -> list[Record]:
    """The disclosures that answer the records of one partition."""
    fold: Fold | None = None
    outputs = []
    for record in sources:
        fold = fold or Fold(PartitionState(partition=record.partition, root_fingerprint=root_fingerprint))
        value = fold.step(record.timestamp_ms, record.key, record.headers, record.value)
        outputs.append(replace(record, topic=OUTPUT, headers=(), value=value))
    return outputs


def replayed(records: Iterable[Record], root_fingerprint: str, only: int | None = None) -> Report:
    """The report of a replay that takes the records in this order."""
    replay = Replay(root_fingerprint, only)
    for record in records:
        replay.take(record)
    return replay.report()


def find(records: Iterable[Record], topic: str, has: Callable[[bytes], bool]) -> Record:
    """The first record of a topic whose value fits."""
    return next(each for each in records if each.topic == topic and has(each.value or b""))


def exchanged(records: Iterable[Record], old: Record, *new: Record) -> list[Record]:
    """The same records with others, or none, in the place of one."""
    return [each for record in records for each in (new if record is old else (record,))]


def with_value(record: Record, old: bytes, new: bytes) -> Record:
    """The record with its value altered in one place."""
    assert record.value is not None
    assert old in record.value
    return replace(record, value=record.value.replace(old, new, 1))
