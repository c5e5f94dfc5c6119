"""Reads `bed-availability` to its end and stays there, for one process; no group: each reads all of it."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, NoReturn

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError as ConsumerError
from aiokafka.errors import OffsetOutOfRangeError
from kafka.errors import KafkaError as AdminError

from services.kit import cluster, logs
from services.kit.broker import Ends, Record, as_records
from services.kit.connecting import Kafka, for_client
from services.kit.ending import die_if_failed
from services.shelter_beds.feed.hub import Hub
from services.shelter_beds.feed.rhythm import Pace, Rhythm
from services.shelter_beds.feed.view import Availability

TOPIC: Final = "bed-availability"
PARTITION: Final = TopicPartition(TOPIC, 0)
CONFIRMED_EVERY: Final = 0.25  # seconds
ANSWERED_WITHIN: Final = 2.0  # seconds
STALE_AFTER: Final = 5.0  # seconds
RETRY_AFTER: Final = 0.5  # seconds
EPOCH_DIGITS: Final = 12
AWAY: Final = (ConsumerError, AdminError, OSError, TimeoutError)


class LogCutError(Exception):
    """The log ends before what was read of it: what stands there is not what readers were told."""


class StaleError(Exception):
    """Nobody can say that all of the log has been read; a check's answer."""


class Following:
    """Brings the log's records into the view, at most as often as frames may go."""

    def __init__(self, kafka: Kafka, view: Availability, hub: Hub, rhythm: Rhythm) -> None:
        self._kafka = kafka
        self._view = view
        self._hub = hub
        self._rhythm = rhythm
        self._pace = Pace(rhythm.frames_every)
        self._topic_id = ""
        self._cuts = 0
        self._fetched: list[Record] = []
        self._next_offset = 0
        self._news, self._moved = asyncio.Event(), asyncio.Event()
        self._confirmed_at = float("-inf")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow, tell and look after readers while the block runs."""
        parts = (self._following(), self._publishing(), self._beating(), self._looking_after())
        tasks = [_started(part) for part in parts]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def check(self) -> None:
        """Return when all that stood on the log a moment ago has been read and told; raises StaleError otherwise."""
        if time.monotonic() - self._confirmed_at > STALE_AFTER:
            raise StaleError

    async def _following(self) -> None:
        while True:
            # A task of its own: a consumer stopped while nobody answers raises the cancellation of a part of it.
            session = asyncio.create_task(self._follow())
            try:
                await asyncio.wait([session])
            finally:
                session.cancel()
                await asyncio.wait([session])
            if not session.cancelled() and (error := session.exception()):
                _tell(error)
            await asyncio.sleep(RETRY_AFTER)

    async def _follow(self) -> None:
        """Read on where reading stopped, or from the beginning of what is another log, until something fails."""
        topic_id = await asyncio.to_thread(cluster.topic_id, self._kafka, TOPIC)
        if topic_id != self._topic_id:
            self._topic_id, self._cuts = topic_id, 0
            self._begin_anew()
        consumer = AIOKafkaConsumer(**for_client(self._kafka), enable_auto_commit=False, auto_offset_reset="none")
        async with Ends(self._kafka, TOPIC, 1) as ends, consumer:
            consumer.assign([PARTITION])
            consumer.seek(PARTITION, self._next_offset)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._reading(consumer))
                tasks.create_task(self._confirming(ends))

    def _begin_anew(self) -> None:
        # The topic's id tells a topic from one of the same name that was there before. What was cut off at its end
        # by a broker that lost it does not change the id.
        cuts = f"-{self._cuts}" if self._cuts else ""
        self._fetched, self._next_offset = [], 0
        self._hub.begin_anew(self._topic_id[:EPOCH_DIGITS] + cuts)

    async def _reading(self, consumer: Any) -> None:  # noqa: ANN401 - aiokafka is untyped
        while True:
            try:
                fetched = await consumer.getmany(PARTITION, timeout_ms=1000)
            except OffsetOutOfRangeError:
                self._cut()
            if records := as_records(fetched.get(PARTITION, ())):
                self._fetched += records
                self._next_offset = records[-1].offset + 1  # at once: whoever follows next must not read these again
            self._next_offset = await consumer.position(PARTITION)
            self._news.set()

    async def _confirming(self, ends: Ends) -> None:
        """Ask where the log ends, and note when all of that has been told; while nobody answers it is not."""
        while True:
            asked_at, read = time.monotonic(), self._next_offset  # what is read meanwhile may be newer than the answer
            async with asyncio.timeout(ANSWERED_WITHIN):  # aiokafka asks on and on while nobody is there
                end = (await ends.now())[0]
            if end < read:
                self._cut()
            while self._view.next_offset < end:
                self._moved.clear()
                await self._moved.wait()
            self._hub.confirm(asked_at)
            self._confirmed_at = asked_at
            await asyncio.sleep(CONFIRMED_EVERY)

    def _cut(self) -> NoReturn:
        self._cuts += 1
        self._begin_anew()
        raise LogCutError

    async def _publishing(self) -> None:
        """Tell what is new: at once after a quiet time, and until all has been read once without a pause."""
        while True:
            await self._news.wait()
            if self._fetched and self._view.read_to_end_at is not None:
                await asyncio.sleep(self._pace.wait(time.monotonic()))
            self._news.clear()
            records, self._fetched = self._fetched, []
            changes = self._view.apply(records, self._next_offset)
            if records:
                self._pace.went(time.monotonic())
                await self._hub.publish(changes)
            self._moved.set()

    async def _beating(self) -> None:
        while True:
            await asyncio.sleep(self._rhythm.heartbeat_every)
            await self._hub.beat()

    async def _looking_after(self) -> None:
        while True:
            await asyncio.sleep(self._rhythm.looked_after_every)
            self._hub.look_after()


def _tell(error: BaseException) -> None:
    """Log why following ended, if that was foreseen; raise it otherwise."""
    foreseen, other = BaseExceptionGroup("", [error]).split((*AWAY, LogCutError))
    if other:
        raise other
    if foreseen and foreseen.subgroup(LogCutError):
        logs.get().error("the log ends before what was read of it", topic=TOPIC)
    else:
        logs.get().warning("the feed can't reach Kafka", topic=TOPIC)


def _started(part: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
    task = asyncio.create_task(part)
    task.add_done_callback(die_if_failed)  # a feed that silently stands still would still be read
    return task
