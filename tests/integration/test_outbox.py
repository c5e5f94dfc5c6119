"""The outbox and its relay on the real broker and database: nothing lost, nothing overtaken, one relay at a time."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from services.kit import cluster, outbox, relay
from services.kit.broker import Record, read_all
from services.kit.database import Database
from services.kit.outbox import OutboxRow, put
from services.kit.relay import Acknowledged, Relay
from services.kit.topics import Topic
from tests.conftest import Databases
from tests.support.own_kafka import OwnKafka
from tests.support.tables import create_tables, direct
from tests.support.topics import create, declared
from tests.support.waiting import wait_until_async

PARTITIONS = 3
# Of this database alone: other tests' relays hold locks in theirs.
END_LEADER = (
    "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_database ON pg_database.oid = database"
    " WHERE locktype = 'advisory' AND granted AND datname = current_database()"
)
Rows = psycopg.Connection[tuple[Any, ...]]


def as_it_is(row: OutboxRow) -> bytes:
    return row.body


@pytest.fixture
def url(postgres: Databases) -> SecretStr:
    created = SecretStr(postgres.create_database("outbox"))
    create_tables(created)
    return created


@pytest.fixture
async def database(url: SecretStr) -> AsyncIterator[Database]:
    opened = Database(url)
    yield opened
    await opened.close()


@pytest.fixture
def rows(url: SecretStr) -> Iterator[Rows]:
    with direct(url) as connection:
        yield connection


@pytest.fixture
def declaration(kafka: str) -> Mapping[str, Topic]:
    return create(kafka, "kit-outbox", PARTITIONS)


@pytest.fixture
def topic(declaration: Mapping[str, Topic]) -> str:
    return next(iter(declaration))


@pytest.fixture
def started(url: SecretStr, kafka: str, declaration: Mapping[str, Topic]) -> Callable[..., Relay]:
    def start(prepare: relay.Prepare = as_it_is, acknowledged: relay.OnAcknowledged | None = None) -> Relay:
        return Relay("tester", url, kafka, prepare, acknowledged, topics=declaration)

    return start


async def write(database: Database, topic: str, aggregate: str, *bodies: bytes, partition: int | None = None) -> None:
    async with database.transaction() as session:
        for body in bodies:
            await put(session, topic=topic, key=aggregate.encode(), aggregate=aggregate, body=body, partition=partition)


async def put_and_raise(database: Database, topic: str) -> None:
    async with database.transaction() as session:
        await put(session, topic=topic, key=b"k", aggregate="a", body=b"never happened")
        _ = 1 // 0


async def log(kafka: str, topic: str) -> list[Record]:
    return [record async for run in read_all(kafka, topic, dict.fromkeys(range(PARTITIONS), 0)) for record in run]


async def first_copies(kafka: str, topic: str) -> dict[bytes, list[bytes]]:
    """Return, by key, the values on the log in the order in which each came first."""
    found: dict[bytes, dict[bytes, None]] = defaultdict(dict)
    for record in await log(kafka, topic):
        found[record.key or b""].setdefault(record.value or b"")
    return {key: list(values) for key, values in found.items()}


def left(rows: Rows) -> int:
    found = rows.execute("SELECT count(*) FROM outbox WHERE parked_reason IS NULL").fetchone()
    assert found is not None
    return int(found[0])


async def emptied(rows: Rows, deadline: float = 30.0) -> None:
    await wait_until_async(lambda: left(rows) == 0, what="the outbox to be sent", deadline=deadline)


async def test_what_is_committed_is_sent_prepared_in_order_and_told_once(
    kafka: str, topic: str, database: Database, rows: Rows, started: Callable[..., Relay]
) -> None:
    told: list[Acknowledged] = []

    async def acknowledged(_: AsyncSession, done: Sequence[Acknowledged]) -> None:
        told.extend(done)

    async with started(lambda row: b"signed " + row.body, acknowledged).running():
        for number in range(20):
            await write(database, topic, f"client-{number % 4}", b"%d" % number, b"%d more" % number)
        await write(database, topic, "control", b"to the last partition", partition=2)
        with pytest.raises(ZeroDivisionError):
            await put_and_raise(database, topic)
        await emptied(rows)
    on_the_log = await log(kafka, topic)
    assert len(on_the_log) == len(told) == 41
    for aggregate in range(4):
        expected = [f"signed {n}{more}".encode() for n in range(aggregate, 20, 4) for more in ("", " more")]
        assert (await first_copies(kafka, topic))[b"client-%d" % aggregate] == expected
    where = {(record.partition, record.offset): record for record in on_the_log}
    for done in told:
        record = where[done.placed.partition, done.placed.offset]
        assert (record.value, record.timestamp_ms) == (b"signed " + done.row.body, done.placed.timestamp_ms)
    assert next(done for done in told if done.row.aggregate == "control").placed.partition == 2


async def test_a_row_is_on_the_log_a_moment_after_its_commit(
    topic: str, database: Database, started: Callable[..., Relay]
) -> None:
    taken = asyncio.Event()
    milliseconds = []

    async def acknowledged(_: AsyncSession, __: Sequence[Acknowledged]) -> None:
        taken.set()

    async with started(as_it_is, acknowledged).running():
        for number in range(60):
            taken.clear()
            await write(database, topic, f"client-{number}", b"x")
            committed = time.perf_counter()
            await taken.wait()
            milliseconds.append((time.perf_counter() - committed) * 1000)
    print(f"committed to acknowledged, in ms: p50 {median(milliseconds):.1f}")
    assert median(milliseconds) < 50  # a few on a quiet machine; a poll instead of a notice would take 500


async def test_a_row_that_can_not_be_sent_parks_its_aggregate_and_nobody_else(
    kafka: str, topic: str, database: Database, rows: Rows, started: Callable[..., Relay]
) -> None:
    mended = asyncio.Event()

    def prepare(row: OutboxRow) -> bytes:
        if row.body == b"broken" and not mended.is_set():
            raise ValueError("Jane Canary can't be signed")
        return row.body

    async with started(prepare).running():
        await write(database, topic, "sick", b"first", b"broken", b"later")
        await write(database, topic, "huge", b"x" * 300_000, b"after it")
        await write(database, "disclosures", "forger", b"not ours to write")
        await write(database, topic, "lost", b"nowhere", partition=99)
        await write(database, topic, "well", *(b"%d" % number for number in range(50)))
        parked = "SELECT DISTINCT aggregate, parked_reason FROM outbox WHERE parked_reason IS NOT NULL"
        await wait_until_async(lambda: len(rows.execute(parked).fetchall()) == 4, what="four to be parked")
        await write(database, topic, "sick", b"latest")
        await wait_until_async(lambda: left(rows) == 3, what="all others to be sent")
        reasons: dict[str, str] = dict(rows.execute(parked).fetchall())
        assert reasons["sick"] == "ValueError when it was prepared"
        assert set(reasons) == {"sick", "huge", "forger", "lost"}
        copies = await first_copies(kafka, topic)
        assert copies == {b"sick": [b"first"], b"well": [b"%d" % number for number in range(50)]}
        gauge = ("threshold_outbox_parked", {"service": "tester"})
        await wait_until_async(lambda: REGISTRY.get_sample_value(*gauge) == 4, what="the alarm")
        mended.set()
        async with database.transaction() as session:
            await outbox.unpark(session, "sick")
        await wait_until_async(lambda: left(rows) == 1, what="the mended aggregate to be sent")
    assert (await first_copies(kafka, topic))[b"sick"] == [b"first", b"broken", b"later", b"latest"]


async def test_one_relay_sends_and_another_follows_when_it_loses_its_connection(
    kafka: str, topic: str, database: Database, rows: Rows, started: Callable[..., Relay]
) -> None:
    senders: list[str] = []

    def preparing(name: str) -> relay.Prepare:
        def prepare(row: OutboxRow) -> bytes:
            senders.append(name)
            return row.body

        return prepare

    async with started(preparing("one")).running(), started(preparing("two")).running():
        await write(database, topic, "a", b"warm")
        await emptied(rows)
        (leader,) = set(senders)
        for wave in range(4):
            await asyncio.gather(
                *(
                    write(database, topic, f"client-{who}", *(b"%d %d" % (wave, n) for n in range(40)))
                    for who in range(5)
                )
            )
            del senders[:]
            # The lock is the leader's connection: PostgreSQL ends it in the midst of its sending.
            await wait_until_async(lambda: bool(senders), what="the relay to begin")
            rows.execute(END_LEADER)
            await emptied(rows)
            turns = [name for before, name in zip([None, *senders], senders, strict=False) if name != before]
            assert len(turns) <= 2, "the two relays sent at the same time"
            assert turns[0] == leader
            leader = turns[-1]
    copies = await first_copies(kafka, topic)
    for who in range(5):
        assert copies[b"client-%d" % who] == [b"%d %d" % (wave, n) for wave in range(4) for n in range(40)]


async def test_a_broker_killed_and_stopped_under_load_costs_nothing_and_turns_nothing_around(
    stack_home: Path, port_base: int, url: SecretStr, database: Database, rows: Rows
) -> None:
    kafka, topic = OwnKafka(stack_home, port_base), "under-load"
    declaration = declared(topic, PARTITIONS)
    written, prepared = Counter[str](), Counter[int]()
    writing = asyncio.Event()
    clients = [f"client-{number}" for number in range(8)]

    def prepare(row: OutboxRow) -> bytes:
        prepared[row.id] += 1
        return row.body

    async def keep_writing(client: str) -> None:
        while await writing.wait():
            await write(database, topic, client, b"%d" % written[client])
            written[client] += 1

    async def write_more() -> None:
        goal = written.total() + 200
        writing.set()
        await wait_until_async(lambda: written.total() >= goal, what="more to be written")

    # So short that a broker that does not answer makes sends fail with an outcome that nobody knows.
    sender = Relay("tester", url, kafka.bootstrap, prepare, topics=declaration, delivery_timeout=2.0)
    try:
        await kafka.start()
        await asyncio.to_thread(cluster.apply, kafka.bootstrap, declaration)
        async with sender.running():
            writers = [asyncio.create_task(keep_writing(client)) for client in clients]
            await write_more()
            kafka.kill()
            backlog = left(rows)
            await write_more()  # Kafka's absence stops nobody from writing
            writing.clear()
            assert left(rows) > backlog
            await kafka.start()
            await emptied(rows)
            await write_more()
            kafka.pause()
            await wait_until_async(lambda: not sender._lanes.in_flight, what="what was on its way to be given up")
            writing.clear()
            kafka.go_on()
            await emptied(rows)
            for writer in writers:
                writer.cancel()
        assert max(prepared.values()) > 1  # what had an unknown outcome was sent again
        copies = await first_copies(kafka.bootstrap, topic)
        twice = len(await log(kafka.bootstrap, topic)) - written.total()
        print(f"{written.total()} rows, {twice} of them twice on the log")
        assert copies == {client.encode(): [b"%d" % n for n in range(written[client])] for client in clients}
    finally:
        kafka.kill()
