"""Runs of records, and the Faust consumer that gives them out and commits only those that were done."""

import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode import Service

from services.kit.broker import Record, as_records
from services.kit.ending import die

if TYPE_CHECKING:
    from services.kit.batches import BatchApp

GATHERED_BYTES = 1 << 20  # a backlog is not waited for
SESSION_TIMEOUT = 6.0  # seconds without a heartbeat after which the broker gives the partitions to another process


@dataclass(frozen=True, slots=True)
class Run:
    """Records of one partition, in order and without a hole, as one fetch brought them.

    `fetched` are aiokafka's own (offset, timestamp, key, value, headers), for the path where each microsecond counts.
    """

    topic: str
    partition: int
    ownership: int
    fetched: Sequence[Any]

    @property
    def first(self) -> int:
        """The offset of its first record."""
        return int(self.fetched[0].offset)

    @property
    def end(self) -> int:
        """The offset after its last record."""
        return int(self.fetched[-1].offset) + 1

    def records(self) -> list[Record]:
        """Return the records as the rest of the kit knows them."""
        return as_records(self.fetched)

    def __repr__(self) -> str:
        return f"{self.topic}/{self.partition}:{self.first}..{self.end - 1}"


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    """Fetches as the app's patience says; Faust has no setting for it.

    Its loop is where the heartbeats come from. While it goes on the partitions are this process's own, however busy
    the other loop is: who is busy must not begin anew for it.
    """

    @Service.task
    async def _fence(self) -> None:
        """End a process that was stopped for so long that another may own its partitions by now."""
        last = _since_boot()
        while not self.should_stop:
            await self.sleep(SESSION_TIMEOUT / 20)
            now = _since_boot()
            if now - last > 0.9 * SESSION_TIMEOUT:
                die(f"The process stood still for {now - last:.1f} s; another may own its partitions.")
            last = now

    def _create_worker_consumer(self, transport: Any) -> Any:  # noqa: ANN401 - untyped in Faust
        consumer = super()._create_worker_consumer(transport)
        if patience := cast("BatchApp", self.consumer.app).patience:
            consumer._fetch_min_bytes = GATHERED_BYTES  # noqa: SLF001 - a constructor's argument, which Faust calls
            consumer._fetch_max_wait_ms = int(patience * 1000)  # noqa: SLF001 - the same
        return consumer


class BatchConsumer(driver.Consumer):
    """Gives out runs, and commits only what `mark_done` said, first in, first out.

    `ownership` changes with every assignment and revocation; a generation id can stay the same under static
    membership.
    """

    app: "BatchApp"

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Faust's own signature
        super().__init__(*args, **kwargs)
        self.ownership = 0
        self._given: dict[TP, deque[int]] = defaultdict(deque)  # the end of each run given out and not yet done
        self._next: dict[TP, int] = {}  # what comes after the runs given out, since the last seek
        self._done: dict[TP, int] = {}  # everything below is durable in the output: what may be committed

    def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def mark_done(self, run: Run) -> None:
        """Let the commit move to the end of `run`; die if a run given out before it was not done."""
        tp = TP(run.topic, run.partition)
        given = self._given[tp]
        if not given or given.popleft() != run.end:
            die(f"{run!r} was done out of order: a run before it was dropped.")
        self._done[tp] = run.end

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:
        """Fetch, and give out one message for each partition's run."""
        if not self.flow_active:
            await self.wait(cast(Any, self.can_resume_flow))
        fetched, _ = await self._wait_next_records(timeout)
        for tp, records in (fetched or {}).items():
            # A fetch can outlast a rebalance. What it brought may be from before the seek (see seek_to_committed), or
            # from after it, and then nothing brings it again: it counts as far as it is what comes next now.
            if not self.flow_active:
                await self.wait(cast(Any, self.can_resume_flow))
            if self.should_stop:
                return
            new = [record for record in records if record.offset >= self._next.get(tp, 0)]
            if new and tp in self.assignment():
                run = Run(tp.topic, tp.partition, self.ownership, new)
                # Its offset is the last one, as Faust's own books want.
                message: Any = self._to_message(tp, new[-1])
                message.key, message.value = None, run
                self._next[tp] = run.end
                self._given[tp].append(run.end)
                yield tp, message

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Go where the app says that it stands; what was committed decides only if the app does not say."""
        assigned = self.assignment()
        if self.app.start_offsets is None:
            offsets = await super().seek_to_committed()
            self._next = {tp: offset or 0 for tp, offset in offsets.items()}  # None where nothing was committed
            return offsets
        starts = await self.app.start_offsets(frozenset(tp.partition for tp in assigned))
        offsets = {tp: starts[tp.partition] for tp in assigned}
        await self.seek_wait(offsets)
        self._next = dict(offsets)
        return offsets

    async def wait_empty(self) -> None:
        """Wait for the runs in flight and commit: what Faust does before it gives partitions away, and at the end."""
        await self.app.settled()
        await self.commit()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Let the runs in flight finish, commit, and only then forget the partitions."""
        await super().on_partitions_revoked(revoked)  # which calls wait_empty
        self._forget()

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Begin a new ownership (eager rebalancing: always of all partitions)."""
        self._forget()
        await super().on_partitions_assigned(assigned, generation_id)

    def on_buffer_full(self, tp: TP) -> None:
        """Keep the partition in the fetch: with none left getmany sleeps 1 s, and a full queue blocks by itself."""

    def on_buffer_drop(self, tp: TP) -> None:
        """Nothing was taken out by on_buffer_full."""

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Say nothing of a quiet partition: Faust's watchdog takes silence for a fault."""

    def _forget(self) -> None:
        self.ownership += 1
        self._given.clear()
        self._done.clear()

    # What follows replaces Faust's own bookkeeping of acknowledgements, which would commit what was never done.

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:  # noqa: ANN401 - as in Faust
        return (tp for tp in list(self._done) if topics is None or tp in topics or tp.topic in topics)

    def _new_offset(self, tp: TP) -> int | None:
        for book in (self._acked, self._acked_index, self._gap):
            cast(dict[TP, Any], book).pop(tp, None)  # unused: do not let it grow
        return self._done.get(tp)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Record no gap: to Faust every run looks like one."""


def _since_boot() -> float:
    # Counts while the machine sleeps, which the monotonic clock of Linux does not.
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
