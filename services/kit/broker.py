"""Typed ports to Kafka: the record, who may write a topic, and the bulk reader."""

import logging
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from msgspec import Struct

from services.kit import logs
from services.kit.connecting import Kafka, for_client
from services.kit.topics import Topic

Headers = tuple[tuple[str, bytes | None], ...]

CLIENT_LOGGERS = ("aiokafka", "faust", "kafka", "mode")
SECONDS_BETWEEN_LINES = 60.0


class Record(Struct, frozen=True, gc=False):
    """One record as it stands on the log; `timestamp_ms` is the log's append time in ms since the epoch."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    headers: Headers
    value: bytes | None


class UnsendableError(Exception):
    """A record that can't be sent, now or later; the message says why and holds nothing of the record."""


class NotAWriterError(UnsendableError):
    """The service may not write this topic: its declaration in schemas/topics does not list it."""


class OutageHandler(logging.Handler):
    """Turns the thousands of lines that Kafka's clients log during an outage into one a minute.

    Only who complained is told, and where in its source: the message could hold a record.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._silent_until = 0.0
        self._unsaid = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Say it, or only count it."""
        now = time.monotonic()
        if now < self._silent_until:
            self._unsaid += 1
            return
        self._silent_until = now + SECONDS_BETWEEN_LINES
        place = f"{record.pathname}:{record.lineno}"
        logs.get().warning("Kafka client has trouble", logger=record.name, at=place, repeated=self._unsaid)
        self._unsaid = 0


def quiet_clients() -> None:
    """Let the loggers of Kafka's clients and of Faust speak through one OutageHandler only."""
    if any(isinstance(handler, OutageHandler) for handler in logging.getLogger(CLIENT_LOGGERS[0]).handlers):
        return
    handler = OutageHandler()
    for name in CLIENT_LOGGERS:
        client = logging.getLogger(name)
        client.propagate = False
        client.addHandler(handler)
    # These warn of whatever took a moment longer than planned, which on a busy machine is no news.
    for name in ("kafka.net.selector", "mode.timers"):
        logging.getLogger(name).setLevel(logging.ERROR)


def allow(service: str, topic: str, topics: Mapping[str, Topic]) -> Topic:
    """Return the topic's declaration; raise NotAWriterError unless it lists `service` as a writer."""
    declared = topics.get(topic)
    if declared is None or service not in declared.writers:
        raise NotAWriterError(f"{service} is not a writer of the topic {topic}.")
    return declared


async def read_all(
    kafka: Kafka, topic: str, start: Mapping[int, int], *, run_size: int = 2000, stall: float = 30.0
) -> AsyncGenerator[list[Record], None]:
    """Yield the records of `topic` in runs of one partition, up to where each partition ended when this was called.

    `start` maps each partition to read to its first offset; one at or beyond its partition's end gives nothing.
    Raises TimeoutError when nothing comes for `stall` seconds, aiokafka's OffsetOutOfRangeError when an offset is no
    longer on the log.
    """
    quiet_clients()
    consumer = AIOKafkaConsumer(
        **for_client(kafka),
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_partition_fetch_bytes=4 * 1024 * 1024,
        request_timeout_ms=10_000,
        retry_backoff_ms=10,  # what the first question about a topic takes, while its leaders are looked up
    )
    async with AsyncExitStack() as opened:
        opened.push_async_callback(consumer.stop)  # also when it can't start
        await consumer.start()
        starts = {TopicPartition(topic, partition): offset for partition, offset in start.items()}
        ends = await consumer.end_offsets(list(starts))
        unread = {partition for partition, offset in starts.items() if offset < ends[partition]}
        consumer.assign(list(unread))
        for partition in unread:
            consumer.seek(partition, starts[partition])
        while unread:
            fetched = await consumer.getmany(*unread, timeout_ms=int(stall * 1000), max_records=run_size)
            if not fetched:
                raise TimeoutError(f"{topic}: nothing came for {stall:g} s, with {len(unread)} partitions unfinished.")
            for partition, found in fetched.items():
                if run := [record for record in as_records(found) if record.offset < ends[partition]]:
                    yield run
                if await consumer.position(partition) >= ends[partition]:
                    unread.discard(partition)


class Ends:
    """Asks where the partitions of a topic end, over a connection of its own.

    On a reader's connection the question would wait behind its fetch, which the broker holds open for 1.5 s.
    """

    def __init__(self, kafka: Kafka, topic: str, partitions: int) -> None:
        self._kafka = kafka
        self._partitions = [TopicPartition(topic, partition) for partition in range(partitions)]
        self._client: Any = None

    async def __aenter__(self) -> Self:
        quiet_clients()
        self._client = AIOKafkaConsumer(**for_client(self._kafka), request_timeout_ms=5_000)
        await self._client.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.stop()

    async def now(self) -> dict[int, int]:
        """Return partition -> the offset after its last record; raises aiokafka's KafkaError if nobody answers."""
        ends = await self._client.end_offsets(self._partitions)
        return {partition.partition: end for partition, end in ends.items()}


def as_records(fetched: Sequence[Any]) -> list[Record]:
    """Return aiokafka's records as ours."""
    return [Record(r.topic, r.partition, r.offset, r.timestamp, r.key, tuple(r.headers), r.value) for r in fetched]
