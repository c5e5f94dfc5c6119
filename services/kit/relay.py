"""The relay: sends a service's outbox to the log, one relay at a time, nothing lost and nothing overtaken."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from functools import partial

import psycopg
from kafka.errors import InvalidRecordError, KafkaError, MessageSizeTooLargeError, RecordListTooLargeError
from msgspec import Struct
from prometheus_client import Gauge
from pydantic import SecretStr
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from services.kit import logs, outbox
from services.kit.beside import beside
from services.kit.broker import UnsendableError
from services.kit.connecting import Kafka
from services.kit.database import driver, new_engine
from services.kit.direct import Direct
from services.kit.lanes import Lanes
from services.kit.leadership import CONNECTION_ANSWERS_WITHIN, leadership, notices
from services.kit.outbox import OutboxRow
from services.kit.producing import LogProducer, Placed
from services.kit.topics import Topic

IN_FLIGHT = 500  # rows
HELD = 3 * IN_FLIGHT  # rows in memory: on their way, waiting for their lane, acknowledged and not yet deleted
RETRY_AFTER = 0.5  # seconds
GATHERED_FOR = 0.1  # seconds
MEASURED_EVERY = 2.0  # seconds

UNSENDABLE = (InvalidRecordError, MessageSizeTooLargeError, RecordListTooLargeError)  # refused by the broker for ever

BACKLOG = Gauge("threshold_outbox_backlog", "Outbox rows not yet acknowledged by the log", ["service"])
PARKED = Gauge("threshold_outbox_parked", "Aggregates parked because a row of theirs can't be sent: alarm", ["service"])


class Acknowledged(Struct, frozen=True):
    """A row that the log has taken, and where."""

    row: OutboxRow
    placed: Placed


Prepare = Callable[[OutboxRow], bytes]
OnAcknowledged = Callable[[AsyncSession, Sequence[Acknowledged]], Awaitable[None]]


class Relay:
    """Sends the outbox of `service` to the log while `running`, as the only one of its database.

    `prepare` makes a row's final value at the moment it is sent; it is called in a thread and must be pure. If it
    raises, or the record can never be sent, the row's aggregate is parked: it waits, with all that follows of it, until
    `outbox.unpark`. `acknowledged` is called in the transaction that deletes rows which the log has taken, with each
    row once, in the order of their lanes. A row may reach the log twice (after a failure of unknown outcome), never
    not at all, and never first after a successor.
    """

    def __init__(
        self,
        service: str,
        database_url: SecretStr,
        kafka: Kafka,
        prepare: Prepare,
        acknowledged: OnAcknowledged | None = None,
        *,
        topics: Mapping[str, Topic] | None = None,
        delivery_timeout: float = 60.0,
    ) -> None:
        self._service = service
        self._kafka = kafka
        self._prepare = prepare
        self._on_acknowledged = acknowledged
        self._topics = topics
        self._delivery_timeout = delivery_timeout
        url = make_url(database_url.get_secret_value())
        self._direct_url = url.set(drivername="postgresql").render_as_string(hide_password=False)
        # Its own connections: a burst of requests must not keep the relay from sending.
        self._direct = Direct(database_url, 2)
        self._engine = new_engine(database_url, 2)
        self._sessions = async_sessionmaker(self._engine, expire_on_commit=False)
        self._sendable, self._woken, self._settleable = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._ending = False
        self.leads = False  # whether it sends: then whoever puts a row in this process may wake it without a notice
        self._start_over()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Relay"]:
        """Relay until the block ends; what is not acknowledged by then is sent by the next relay."""
        try:
            async with beside(self._run()):
                try:
                    yield self
                finally:
                    self._ending = True
        finally:
            await self._direct.close()
            await self._engine.dispose()

    async def _run(self) -> None:
        while not self._ending:  # a group whose connection is lost as it is cancelled does not tell of the latter
            try:
                async with leadership(self._direct_url) as connection, asyncio.TaskGroup() as tasks:
                    self._start_over()
                    self.leads = True
                    tasks.create_task(self._listen(connection))
                    tasks.create_task(self._measure())
                    tasks.create_task(self._fetching())
                    tasks.create_task(self._settling())
                    tasks.create_task(self._relay())
            except* (psycopg.OperationalError, OperationalError, TimeoutError) as lost:
                logs.get().warning("relay lost its database connection", **logs.describe(lost.exceptions[0]))
            finally:
                self.leads = False
            await asyncio.sleep(RETRY_AFTER)

    def _start_over(self) -> None:
        self._lanes = Lanes(IN_FLIGHT)
        self._acknowledged: list[Acknowledged] = []
        self._unsendable: list[tuple[OutboxRow, str]] = []
        self._producer_failed = False
        self.wake()

    async def _listen(self, connection: psycopg.AsyncConnection) -> None:
        async for _ in notices(connection):
            self.wake()

    def wake(self) -> None:
        """Look for new rows: something was committed."""
        self._more = True
        self._woken.set()

    async def _measure(self) -> None:
        while True:
            async with self._sessions() as session:
                backlog, parked = await outbox.counts(session)
            BACKLOG.labels(self._service).set(backlog)
            PARKED.labels(self._service).set(parked)
            await asyncio.sleep(MEASURED_EVERY)

    async def _relay(self) -> None:
        while True:
            producer = await self._connected_producer()
            try:
                await self._relay_through(producer)
            finally:
                producer.abort()
            await asyncio.sleep(RETRY_AFTER)

    async def _connected_producer(self) -> LogProducer:
        while True:
            try:
                return await asyncio.to_thread(self._new_producer)
            except KafkaError as error:
                logs.get().warning("relay can't reach Kafka", **logs.describe(error))
                await asyncio.sleep(RETRY_AFTER)

    def _new_producer(self) -> LogProducer:
        return LogProducer(
            self._service,
            self._kafka,
            topics=self._topics,
            delivery_timeout=self._delivery_timeout,
            request_timeout=min(10.0, self._delivery_timeout / 2),
            connect_timeout=2.0,
        )

    async def _relay_through(self, producer: LogProducer) -> None:
        """Send until a send fails: the producer may be of no more use then, and the rest start over on a new one."""
        while not self._producer_failed:
            if rows := self._lanes.next_to_send():
                await asyncio.to_thread(self._send, producer, self._lanes, rows, asyncio.get_running_loop())
            else:
                await self._sendable.wait()
            self._sendable.clear()
        producer.abort()
        while self._lanes.in_flight:  # their futures fail at once, or had succeeded
            await self._sendable.wait()
            self._sendable.clear()
        self._producer_failed = False

    async def _fetching(self) -> None:
        """Bring what was put, beside the sending."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            await self._fetch()

    async def _settling(self) -> None:
        """Make the database know what became of the rows; together, where nobody waits to be told."""
        try:
            while True:
                await self._settleable.wait()
                await asyncio.sleep(0 if self._on_acknowledged else GATHERED_FOR)
                self._settleable.clear()
                await self._settle()
                self._woken.set()  # there may be room again
        finally:
            async with asyncio.timeout(CONNECTION_ANSWERS_WITHIN):
                await self._settle()  # or the next relay sends it again

    async def _settle(self) -> None:
        acknowledged, unsendable = self._acknowledged, self._unsendable
        self._acknowledged, self._unsendable = [], []
        try:
            await self._settle_in_database(acknowledged, unsendable)
        except (OperationalError, psycopg.OperationalError) as error:
            # The log has them: try again rather than send them again.
            logs.get().warning("relay can't settle what the log acknowledged", **logs.describe(error))
            self._acknowledged[:0], self._unsendable[:0] = acknowledged, unsendable
            self._settleable.set()
            await asyncio.sleep(RETRY_AFTER)
        else:
            self._lanes.forget(done.row.id for done in acknowledged)
            for row, _ in unsendable:
                self._lanes.park_is_durable(row.aggregate)

    async def _settle_in_database(
        self, acknowledged: Sequence[Acknowledged], unsendable: Sequence[tuple[OutboxRow, str]]
    ) -> None:
        ids = [done.row.id for done in acknowledged]
        if not unsendable and not self._on_acknowledged:
            async with self._direct.connection() as connection:
                await outbox.delete(connection, ids)
            return
        async with self._sessions.begin() as session:
            deleted = await outbox.delete(await driver(session), ids)
            # A row that a relay before this one has settled is not told twice.
            if self._on_acknowledged and (told := [done for done in acknowledged if done.row.id in deleted]):
                await self._on_acknowledged(session, told)
            for row, reason in unsendable:
                await outbox.park(session, row, reason)

    async def _fetch(self) -> None:
        room = HELD - len(self._lanes.known)
        if not self._more or room < IN_FLIGHT:
            return
        self._more = False
        async with self._direct.connection() as connection:
            rows = await outbox.fetch(connection, self._lanes.known, room)
        self._more |= len(rows) == room
        self._lanes.add(rows)
        self._sendable.set()

    def _send(
        self, producer: LogProducer, lanes: Lanes, rows: Sequence[OutboxRow], loop: asyncio.AbstractEventLoop
    ) -> None:
        """Hand rows to the producer, in a thread of its own: it may block, and signing takes its time."""
        for row in rows:
            if producer.aborted:
                return  # the lock is lost
            self._sent(producer, row).add_done_callback(partial(_call_in, loop, self._settled, lanes, row))

    def _sent(self, producer: LogProducer, row: OutboxRow) -> "Future[Placed]":
        try:
            return producer.send(row.topic, self._prepared(row), key=row.key, partition=row.partition)
        except (UnsendableError, KafkaError, ValueError) as error:
            failed: Future[Placed] = Future()
            failed.set_exception(error)
            return failed

    def _prepared(self, row: OutboxRow) -> bytes:
        try:
            return self._prepare(row)
        except Exception as error:  # whatever it is, it would be raised again for the same row
            raise UnsendableError(f"{type(error).__qualname__} when it was prepared") from error

    def _settled(self, lanes: Lanes, row: OutboxRow, outcome: "Future[Placed]") -> None:
        if lanes is not self._lanes:
            return  # the lock was lost since, and taken again: what comes late for the lanes of then is void
        match outcome.exception():
            case None:
                lanes.acknowledged(row)
                self._acknowledged.append(Acknowledged(row, outcome.result()))
            case UnsendableError() as error:
                self._park(row, str(error))
            case error if isinstance(error, UNSENDABLE):
                self._park(row, type(error).__qualname__)
                self._producer_failed = True  # a refusal by the broker ends an idempotent producer
            case _:
                lanes.failed(row)
                self._producer_failed = True
        self._sendable.set()
        self._settleable.set()

    def _park(self, row: OutboxRow, reason: str) -> None:
        logs.get().error("outbox row can't be sent and parks its aggregate", topic=row.topic, why=reason)
        self._lanes.park(row)
        self._unsendable.append((row, reason))


def _call_in(loop: asyncio.AbstractEventLoop, call: Callable[..., None], *arguments: object) -> None:
    with suppress(RuntimeError):  # the loop has ended, and with it the interest in the outcome
        loop.call_soon_threadsafe(call, *arguments)
