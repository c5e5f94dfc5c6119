"""Faust in batches: one Faust message is one fetched run of records of one partition, committed only when done.

Stock Faust acknowledges an event whose handler raised, and decides where to read on by what was committed. Here
nothing but a run that was handled whole moves the commit, anything unforeseen ends the process, and where to read on
is the app's own knowledge.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, cast

import faust
from faust.tables import TableManager
from faust.tables.recovery import Recovery
from faust.transport.drivers import aiokafka as driver
from faust.types import StreamT
from mode import Seconds
from mode.services import WaitArgT

from services.kit import topics as declarations
from services.kit.broker import allow, quiet_clients
from services.kit.connecting import MECHANISM, Kafka, bootstrap_of
from services.kit.ending import die
from services.kit.rights import group_of
from services.kit.runs import SESSION_TIMEOUT, BatchConsumer, Run
from services.kit.topics import Topic

__all__ = ["BatchApp", "BatchConsumer", "BatchProducer", "BatchTransport", "RawRun", "Run", "batch_app", "die"]

SEND_WITHIN = 30.0  # seconds; aiokafka's idempotent producer by itself would try for ever
RUN_SIZE = 2000  # records
A_FOLD_TAKES_AT_MOST = 24 * 3600.0  # seconds without a fetch after which Kafka's client would leave its group
ROOM = 4 * RUN_SIZE  # while the broker stores what became of one run, others are worked on

Handle = Callable[[Run], Awaitable[None]]
StartOffsets = Callable[[frozenset[int]], Awaitable[Mapping[int, int]]]


class BatchProducer(driver.Producer):
    """Idempotent, and able to write a whole run to one partition."""

    app: "BatchApp"

    async def send_run(self, topic: str, partition: int, run: Iterable[tuple[bytes | None, bytes]]) -> int:
        """Write (key, value) pairs to one partition, in order; return the offset after the last once all are durable.

        Raises NotAWriterError, and TimeoutError after SEND_WITHIN seconds: the outcome is unknown then, so end the
        process.
        """
        allow(self.app.service_name, topic, self.app.declared)
        producer = self._ensure_producer()
        async with asyncio.timeout(SEND_WITHIN):
            sent = [
                (await producer.send_batch(batch, topic, partition=partition), batch.record_count())
                for batch in _batches(producer, run)
            ]
            ends = [(await future).offset + count for future, count in sent]
        return int(ends[-1])

    def _settings_extra(self) -> Mapping[str, Any]:
        # Kafka gives a producer its id only if its user may write some topic: who only reads asks for none.
        writes = any(self.app.service_name in topic.writers for topic in self.app.declared.values())
        return {"acks": "all", "enable_idempotence": writes}


class BatchTransport(driver.Transport):
    """Faust's Kafka transport with our consumer and producer."""

    Consumer = BatchConsumer
    Producer = BatchProducer


class UnlimitedRecovery(Recovery):
    """Waits for `start_offsets` as long as it takes: how long a fold takes is a matter of the log.

    Faust has a limit for it (broker_request_timeout), takes one that is reached for the order to stop, and then stands
    still for good: alive, and reading nothing.
    """

    async def _wait(self, coro: WaitArgT, timeout: Seconds | None = None) -> None:  # noqa: ARG002 - as in Faust
        await super()._wait(coro)


class Tables(TableManager):
    """Has our recovery; there are no tables."""

    @property
    def recovery(self) -> Recovery:
        """What asks where to read on after each rebalance."""
        if self._recovery is None:
            self._recovery = UnlimitedRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery


class RawRun(faust.Schema[Any, Any]):
    """Leaves a message's value, a Run, as it is."""

    def loads_key(self, app: Any, message: Any, **_: Any) -> Any:  # noqa: ANN401, ARG002 - Faust's signature
        """Return the key, None."""
        return message.key

    def loads_value(self, app: Any, message: Any, **_: Any) -> Any:  # noqa: ANN401, ARG002 - Faust's signature
        """Return the run."""
        return message.value


class BatchApp(faust.App):
    """A Faust app that hands runs to one handler. Made by `batch_app`."""

    service_name: str
    declared: Mapping[str, Topic]
    start_offsets: StartOffsets | None
    room: int  # records
    patience: float
    in_flight: dict[asyncio.Task[None], int]  # records
    newest: dict[int, asyncio.Task[None]]  # by partition: the next run of it waits for this one

    @property
    def batch_consumer(self) -> BatchConsumer:
        """The consumer, for its ownership, end offsets and assignment."""
        return cast(BatchConsumer, self.consumer)

    @property
    def batch_producer(self) -> BatchProducer:
        """The producer, for send_run."""
        return cast(BatchProducer, self.producer)

    async def take(self, run: Run, handle: Handle) -> None:
        """Let a run be handled after those of its partition, as soon as the app has room for it."""
        while sum(self.in_flight.values()) >= self.room:
            await asyncio.wait(self.in_flight, return_when=asyncio.FIRST_COMPLETED)
        if run.ownership != self.batch_consumer.ownership or not self.batch_consumer.flow_active:
            return  # it slipped through a rebalance: its next owner fetches it again
        task = asyncio.create_task(self._handled(run, handle, self.newest.get(run.partition)))
        self.newest[run.partition] = task
        self.in_flight[task] = len(run.fetched)

    async def settled(self) -> None:
        """Wait until no run is in flight."""
        while self.in_flight:
            await asyncio.wait(self.in_flight)

    async def _handled(self, run: Run, handle: Handle, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        try:
            await handle(run)
        except Exception as error:  # noqa: BLE001 - stock Faust would acknowledge the run and lose it
            die(f"{run!r} could not be handled:", error)
        self.batch_consumer.mark_done(run)
        del self.in_flight[cast("asyncio.Task[None]", asyncio.current_task())]

    def _crash(self, reason: BaseException) -> None:
        # Reached from any service below the app; Faust alone would go on answering with nothing consumed.
        die("A part of the reader crashed:", reason)

    def _new_transport(self) -> BatchTransport:
        return BatchTransport(self.conf.broker_consumer, self)

    def _new_producer_transport(self) -> BatchTransport:
        return BatchTransport(self.conf.broker_producer, self)

    def _create_directories(self) -> None:
        """Make none: there are no tables."""


def batch_app(
    service: str,
    kafka: Kafka,
    topic: str,
    handle: Handle,
    *,
    start_offsets: StartOffsets | None = None,
    topics: Mapping[str, Topic] | None = None,
    group: str | None = None,
    instance: str = "0",
    room: int = ROOM,
    patience: float = 0.0,
) -> BatchApp:
    """Return an app that calls `handle` with each run of `topic`; a run is done when it returns.

    One run of a partition is handled at a time; no run is begun while `room` records are in flight. With `patience` the
    broker gathers records for so many seconds: a reader that nobody waits for costs much less than one fetch a record.

    Run it with `faust.contrib.asgi.faust_app_running`. `start_offsets` is asked, with the partitions assigned, after
    every rebalance, and answers each one's offset to read on from: Kafka's committed offset decides nothing then.
    `group` is "<service>.<topic>" by default; `instance` tells the processes of one group apart, so that a restarted
    one gets its partitions back at once.
    """
    quiet_clients()
    group = group or group_of(service, topic)
    app = BatchApp(
        group,
        broker=";".join(f"kafka://{address}" for address in bootstrap_of(kafka).split(",")),
        broker_credentials=_credentials(kafka),
        broker_commit_interval=0.5,
        broker_heartbeat_interval=1.0,
        broker_max_poll_interval=A_FOLD_TAKES_AT_MOST,
        broker_max_poll_records=RUN_SIZE,
        broker_rebalance_timeout=10.0,
        broker_request_timeout=30.0,
        broker_session_timeout=SESSION_TIMEOUT,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=524_288,  # bytes of a partition; what is fetched of all of them stands in memory
        consumer_group_instance_id=f"{group}.{instance}",
        producer_linger=0,
        producer_max_batch_size=262_144,
        producer_max_request_size=1_048_576,
        producer_request_timeout=10.0,
        store="memory://",
        stream_buffer_maxsize=2,  # counts runs: the default of 4096 could hold 8 GB
        stream_wait_empty=True,
        topic_allow_declare=False,
        topic_disable_leader=True,
        TableManager=Tables,
        web_enabled=False,
    )
    app.service_name = service
    app.declared = declarations.load() if topics is None else topics
    app.start_offsets = start_offsets
    app.room, app.in_flight, app.newest, app.patience = room, {}, {}, patience
    source = app.topic(topic, schema=RawRun())

    @app.agent(source, name=group, concurrency=1)
    async def runs(stream: StreamT[Run]) -> None:
        async for run in stream:
            await app.take(run, handle)

    return app


def _credentials(kafka: Kafka) -> faust.SASLCredentials | None:
    if isinstance(kafka, str):
        return None
    password = kafka.password.get_secret_value()
    return faust.SASLCredentials(username=kafka.user, password=password, ssl_context=kafka.tls, mechanism=MECHANISM)


def _batches(producer: Any, run: Iterable[tuple[bytes | None, bytes]]) -> Iterator[Any]:  # noqa: ANN401 - untyped
    batch = producer.create_batch()
    for key, value in run:
        # The time is the log's (LogAppendTime), so none is given.
        if batch.append(key=key, value=value, timestamp=None) is None:
            yield batch
            batch = producer.create_batch()
            batch.append(key=key, value=value, timestamp=None)
    if batch.record_count():
        yield batch
