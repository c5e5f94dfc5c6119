"""Finds where a partition of `disclosures` ends, and folds `client-events` up to exactly there."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
from msgspec import Struct

from policy.state import PartitionState
from policy.step import Fold
from services.boundary.snapshots import Snapshot, Snapshots
from services.kit.broker import Record, read_all
from services.kit.connecting import Kafka
from services.kit.positions import Reading, ReadingAutomaton

SOURCE, OUTPUT = "client-events", "disclosures"
FOLDED_AT_ONCE = 100
"""Records between two breaths: a loop that stands still answers nobody meanwhile."""


class LogMismatch(RuntimeError):
    """What `disclosures` says was decided is not what these records give: altered, or another policy. Do not go on."""


class _Decided(Struct):
    """As much of a disclosure as says where it stands."""

    source_offset: int
    digest: str


_DECIDED = msgspec.json.Decoder(_Decided)


@dataclass
class Position:
    """Where `disclosures` ends: the source offset that comes next, the digest of the last one, and the offset after."""

    next: int
    digest: str
    disclosures_next: int


class Recovered(NamedTuple):
    """A partition's state as of the end of `disclosures`, and which of its offsets comes next in the last snapshot."""

    snapshot: Snapshot
    saved_at: int


async def recover(kafka: Kafka, partition: int, root_fingerprint: str, snapshots: Snapshots) -> Recovered:
    """Fold a partition up to where `disclosures` ends; raises LogMismatch if the two topics do not belong together."""
    snapshot = await asyncio.to_thread(snapshots.load, partition)  # all of them would take the loop for seconds
    position = await _position(kafka, partition, snapshot) if snapshot is not None else None
    if snapshot is None or position is None:
        snapshot = Snapshot(PartitionState(partition=partition, root_fingerprint=root_fingerprint), 0)
        position = await _position(kafka, partition, snapshot)
    if position is None:
        raise LogMismatch(f"{OUTPUT}/{partition} has a hole in what was decided.")
    saved_at = snapshot.state.next
    await _catch_up(kafka, snapshot.state, position)
    return Recovered(Snapshot(snapshot.state, position.disclosures_next), saved_at)


async def _position(kafka: Kafka, partition: int, start: Snapshot) -> Position | None:
    """Where the reading automaton ends, started at a snapshot; None if the snapshot is not this log's.

    It is not when the record before its end is another than its last, or when the one after it is missing: a process
    that was set aside for a while can have written its snapshot behind records that it never saw.
    """
    automaton = ReadingAutomaton(start.state.next)
    position = Position(start.state.next, start.state.digest.hex(), start.disclosures_next)
    seen_last, first = start.disclosures_next == 0, max(start.disclosures_next - 1, 0)
    async with aclosing(read_all(kafka, OUTPUT, {partition: first})) as runs:
        async for run in runs:
            for record in run:
                decided = _DECIDED.decode(record.value or b"")
                if record.offset < start.disclosures_next:
                    seen_last = (decided.source_offset, decided.digest) == (start.state.next - 1, position.digest)
                    continue
                reading = automaton.read(decided.source_offset, decided.digest.encode(), time.monotonic())
                if reading is Reading.AHEAD or not seen_last:
                    return None
                if reading is Reading.APPLY:
                    position = Position(automaton.next, decided.digest, record.offset + 1)
                position.disclosures_next = record.offset + 1
    return position if seen_last else None


async def _catch_up(kafka: Kafka, state: PartitionState, position: Position) -> None:
    """Fold the records from the state's next to the position; raises LogMismatch."""
    fold = Fold(state)
    async with aclosing(_records(kafka, state.partition, state.next, position.next)) as records:
        async for record in records:
            if record.offset != state.next:
                raise LogMismatch(f"{SOURCE}/{state.partition} has no offset {state.next}.")
            fold.step(record.timestamp_ms, record.key, record.headers, record.value)
            if state.next % FOLDED_AT_ONCE == 0:
                await asyncio.sleep(0)
    if state.next < position.next:
        raise LogMismatch(f"{OUTPUT}/{state.partition} decided {position.next} records; {SOURCE} has {state.next}.")
    if position.next and state.digest.hex() != position.digest:
        raise LogMismatch(f"{OUTPUT}/{state.partition} does not follow from {SOURCE}: replay says where they part.")


async def _records(kafka: Kafka, partition: int, start: int, end: int) -> AsyncGenerator[Record, None]:
    """The source's records from `start` to before `end`, or to where it ends."""
    if start == end:
        return
    async with aclosing(read_all(kafka, SOURCE, {partition: start})) as runs:
        async for run in runs:
            for record in run:
                if record.offset >= end:
                    return
                yield record
