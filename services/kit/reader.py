"""Readers of the log whose rows and position move in one transaction."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import msgspec
from aiokafka.errors import KafkaError
from faust.contrib.asgi import faust_app_running
from prometheus_client import Gauge
from psycopg import AsyncConnection
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from services.kit import logs
from services.kit import topics as declarations
from services.kit.batches import RUN_SIZE, batch_app
from services.kit.beside import beside
from services.kit.broker import Ends, Record
from services.kit.connecting import Kafka
from services.kit.database import Database, new_engine
from services.kit.direct import Direct
from services.kit.ending import die
from services.kit.marks import Mark, OwnMark, SourceMark, SourceOffset
from services.kit.positions import ALARM_AFTER
from services.kit.progress import advance, advance_on, begin, positions
from services.kit.runs import Run
from services.kit.topics import Topic

WATCHED_EVERY = 5.0  # seconds
RETRIED_AFTER = 0.5  # seconds
A_FETCH_IS_HANDED_OUT_WITHIN = 0.01  # seconds

LAG = Gauge("threshold_reader_lag_records", "Records of the topic that this reader has not applied", ["topic"])
GAP = Gauge("threshold_reader_gap_seconds", "For how long a record met has been out of reach: alarm at 60", ["topic"])

Apply = Callable[[AsyncSession, Sequence[Record]], Awaitable[None]]
ApplyDirectly = Callable[[AsyncConnection, Sequence[Record]], Awaitable[None]]
Committed = Callable[[], None]


class _Answer(msgspec.Struct, frozen=True):
    source_offset: int


_ANSWER = msgspec.json.Decoder(_Answer)


def answered_offset(record: Record) -> int:
    """Return the offset in `client-events` that a record of `disclosures` answers."""
    return _ANSWER.decode(record.value or b"").source_offset


class DatabaseReader:
    """Applies one topic to this service's tables: each record once in effect, in the order of its partition.

    Runs of several partitions that wait for each other share a transaction: `apply(session, records)`, or `directly`
    with a connection in place of the session, gets the records that are new, each partition's in order, then the
    positions move, then it commits, and `committed` is called. Without `source_offset` the position is the topic's own
    offset; with it, for topics derived from another, it is the offset of the record's source, and the reading automaton
    decides what is new. With `patience` it lets the broker gather records for so many seconds. Kafka's committed offset
    decides nothing. While the database is away it waits for it; whatever else raises ends the process.
    """

    def __init__(
        self,
        service: str,
        topic: str,
        kafka: Kafka,
        database_url: SecretStr,
        apply: Apply | None = None,
        *,
        directly: ApplyDirectly | None = None,
        source_offset: SourceOffset | None = None,
        topics: Mapping[str, Topic] | None = None,
        instance: str = "0",
        patience: float = 0.0,
        committed: Committed | None = None,
    ) -> None:
        if (apply is None) == (directly is None):
            raise ValueError("a reader applies its records in one way")
        declared = declarations.load() if topics is None else topics
        self._topic = topic
        self._compacted = declared[topic].cleanup == "compact"
        self._ends = Ends(kafka, topic, declared[topic].partitions)
        # Its own connection: a burst of requests must not keep the reader from reading.
        self._engine = new_engine(database_url, 1)
        self._sessions = async_sessionmaker(self._engine, expire_on_commit=False)
        self._direct = Direct(database_url, 1)
        self._apply = apply
        self._directly = directly
        self._committed = committed
        self._source_offset = source_offset
        self._patience = patience
        self._marks: dict[int, Mark] = {}
        self._waiting: dict[int, Run] = {}  # by partition, what is fetched and in no transaction yet
        self._turn = asyncio.Lock()
        self._read_to: dict[int, int] = {}  # by partition, the topic's own offset up to which all is applied
        self._progress = asyncio.Event()
        self._app = batch_app(
            service,
            kafka,
            topic,
            self._handle,
            start_offsets=self._start_offsets,
            topics=declared,
            instance=instance,
            room=RUN_SIZE,
            patience=patience,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator["DatabaseReader"]:
        """Read until the block ends; the run in flight is finished and committed first."""
        async with self._ends, faust_app_running(self._app), beside(self._watch()):
            yield self
        await self._direct.close()
        await self._engine.dispose()

    async def reached(self, within: float) -> bool:
        """Wait until all is applied that stood on the topic when this was called; False after `within` seconds.

        False too when the broker does not say where that is, or another process reads some of the partitions.
        """
        try:
            async with asyncio.timeout(within):
                ends = await self._ends.now()
                while any(self._read_to.get(partition, 0) < end for partition, end in ends.items()):
                    await self._progress.wait()
        except (TimeoutError, KafkaError):
            return False
        return True

    async def ping(self) -> None:
        """Return when the broker answers; raises otherwise: a check for /readyz."""
        await self._ends.now()

    async def _handle(self, run: Run) -> None:
        """Have a run applied: with whatever else waits by the time that it is its turn.

        One transaction at a time: two partitions may carry copies of one control record, and would deadlock.
        """
        self._waiting[run.partition] = run
        async with self._turn:
            if self._patience and run.partition in self._waiting:  # for the other partitions' runs of its fetch
                await asyncio.sleep(A_FETCH_IS_HANDED_OUT_WITHIN)
            while run.partition in self._waiting:
                await self._apply_together(self._next_runs())

    def _next_runs(self) -> list[Run]:
        """Take what waits, longest first, as far as it is not too much for one transaction."""
        runs: list[Run] = []
        for partition in list(self._waiting):
            if sum(len(run.fetched) for run in runs) < RUN_SIZE:
                runs.append(self._waiting.pop(partition))
        return runs

    async def _apply_together(self, runs: Sequence[Run]) -> None:
        new: list[Record] = []
        moves: dict[int, tuple[int, int]] = {}
        for run in runs:
            mark = self._marks[run.partition]
            before = mark.next
            if taken := mark.take(run.records(), time.monotonic()):
                new += taken
                moves[run.partition] = (before, mark.next)
        if new:
            await self._apply_once_there_is_a_database(new, moves)
            if self._committed:
                self._committed()
        self._read_to |= {run.partition: run.end for run in runs}
        progress, self._progress = self._progress, asyncio.Event()
        progress.set()

    async def _apply_once_there_is_a_database(
        self, new: Sequence[Record], moves: Mapping[int, tuple[int, int]]
    ) -> None:
        """Apply, and again while the database is away; a commit of which nobody knows shows in the positions."""
        is_away = False
        while True:
            try:
                return await self._apply_new(new, moves)
            except Database.away as error:
                if not is_away:
                    logs.get().warning("reader waits for the database", topic=self._topic, **logs.describe(error))
                is_away = True
            await asyncio.sleep(RETRIED_AFTER)

    async def _apply_new(self, new: Sequence[Record], moves: Mapping[int, tuple[int, int]]) -> None:
        if self._directly:
            async with self._direct.transaction() as connection:
                await self._directly(connection, new)
                await advance_on(connection, self._topic, moves)
        if self._apply:
            async with self._sessions.begin() as session:
                await self._apply(session, new)
                await advance(session, self._topic, moves)

    async def _start_offsets(self, assigned: frozenset[int]) -> Mapping[int, int]:
        async with self._sessions.begin() as session:
            for partition in sorted(assigned):
                await begin(session, self._topic, partition)
            stored = await positions(session, self._topic)
        # Also right for a source's offset: each earlier source has a record of its own before this one, so the
        # record of source n stands at n or later.
        starts = {partition: stored[partition] for partition in assigned}
        await self._check_on_the_log(starts)
        self._marks = {partition: self._mark(offset) for partition, offset in starts.items()}
        self._read_to = dict(starts)
        return starts

    def _mark(self, next_offset: int) -> Mark:
        if self._source_offset is None:
            return OwnMark(next_offset, compacted=self._compacted)
        return SourceMark(next_offset, self._topic, self._source_offset)

    async def _check_on_the_log(self, starts: Mapping[int, int]) -> None:
        ends = await self._ends.now()
        for partition, start in starts.items():
            if start > ends[partition]:
                die(f"The position of {self._topic}/{partition} is {start}, and the log ends at {ends[partition]}.")

    async def _watch(self) -> None:
        """Measure the lag, and raise the alarm for a gap that stays open."""
        while True:
            with suppress(KafkaError):
                ends = await self._ends.now()
                behind = (ends[partition] - read for partition, read in self._read_to.items())
                LAG.labels(self._topic).set(sum(behind))
            now = time.monotonic()
            gap = max((mark.gap_age(now) for mark in self._marks.values()), default=0.0)
            GAP.labels(self._topic).set(gap)
            if gap > ALARM_AFTER:
                logs.get().error("record before one that was met is missing", topic=self._topic, seconds=int(gap))
            await asyncio.sleep(WATCHED_EVERY)
