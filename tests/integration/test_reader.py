"""A DatabaseReader on the real broker and database: killed, stopped, fed with copies, and asked how far it is."""

import asyncio
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from services.kit.broker import Record
from services.kit.ending import EXIT_CODE
from services.kit.producing import LogProducer
from services.kit.reader import DatabaseReader
from services.kit.runs import SESSION_TIMEOUT
from services.kit.topics import Topic
from tests.conftest import Databases
from tests.support.reading_service import APPLY
from tests.support.tables import create_tables, direct
from tests.support.topics import create
from tests.support.waiting import wait_until, wait_until_async
from tests.support.workers import WorkerProcess

PARTITIONS = 3
Rows = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture
def declaration(kafka: str) -> Mapping[str, Topic]:
    return create(kafka, "kit-reader", PARTITIONS)


@pytest.fixture
def topic(declaration: Mapping[str, Topic]) -> str:
    return next(iter(declaration))


@pytest.fixture
def producer(kafka: str, declaration: Mapping[str, Topic]) -> Iterator[LogProducer]:
    opened = LogProducer("tester", kafka, topics=declaration)
    yield opened
    opened.close()


@pytest.fixture
def url(postgres: Databases) -> SecretStr:
    created = SecretStr(postgres.create_database("reader"))
    create_tables(created)
    return created


@pytest.fixture
def rows(url: SecretStr) -> Iterator[Rows]:
    with direct(url) as connection:
        yield connection


@pytest.fixture
def worker(kafka: str, topic: str, url: SecretStr, tmp_path: Path) -> Iterator[WorkerProcess]:
    arguments = (kafka, topic, str(PARTITIONS), url.get_secret_value(), str(tmp_path / "worker.sock"))
    process = WorkerProcess("tests.support.reading_service", arguments)
    process.start()
    yield process
    process.kill()


def count(rows: Rows) -> int:
    found = rows.execute("SELECT count(*) FROM applied").fetchone()
    assert found is not None
    return int(found[0])


def wait_for_progress(rows: Rows) -> None:
    before = count(rows)
    wait_until(lambda: count(rows) > before, what="progress")


def fill(producer: LogProducer, topic: str, records: int) -> None:
    sent = [
        producer.send(topic, str(number).encode(), key=b"k", partition=number % PARTITIONS) for number in range(records)
    ]
    for future in sent:
        future.result(30)


def test_killed_in_the_midst_of_runs_it_applies_each_record_once(
    worker: WorkerProcess, producer: LogProducer, topic: str, rows: Rows
) -> None:
    total, after_each_kill = 0, []
    for _ in range(3):
        # It is killed with runs in flight and more to come: its lag is never 0.
        fill(producer, topic, 4500)
        total += 4500
        wait_for_progress(rows)
        assert worker.kill()[0] == -signal.SIGKILL
        after_each_kill.append((count(rows), total))
        worker.start()
    wait_until(lambda: count(rows) >= total, what="the rest")
    print("applied and sent, after each kill:", after_each_kill)
    assert any(applied < sent for applied, sent in after_each_kill)
    wrong = rows.execute(
        "SELECT partition, count(*), count(DISTINCT log_offset), max(log_offset) + 1 FROM applied GROUP BY partition"
        " HAVING NOT (count(*) = count(DISTINCT log_offset) AND count(*) = max(log_offset) + 1)"
    ).fetchall()
    assert wrong == []
    inverted = rows.execute(
        "SELECT count(*) FROM (SELECT log_offset - lag(log_offset) OVER (PARTITION BY partition ORDER BY id) AS step"
        " FROM applied) AS steps WHERE step <> 1"
    ).fetchone()
    assert inverted == (0,)
    positions: dict[int, int] = dict(rows.execute("SELECT partition, next FROM positions").fetchall())
    assert positions == dict.fromkeys(range(PARTITIONS), total // PARTITIONS)


def test_a_run_that_can_not_be_applied_ends_the_process_and_leaves_nothing(
    worker: WorkerProcess, producer: LogProducer, topic: str, rows: Rows
) -> None:
    for value in (b"good", b"poison"):
        producer.send(topic, value, key=b"k", partition=0).result(10)
    code, output = worker.ended()
    assert code == EXIT_CODE
    assert "RuntimeError" in output
    assert "can't be applied" not in output  # an error's text could hold a record
    left = rows.execute("SELECT (SELECT count(*) FROM applied WHERE value = 'poison'), sum(next) FROM positions")
    poisoned, position = left.fetchone() or (None, None)
    assert poisoned == 0
    assert position in (0, 1)  # whether `good` came in a run of its own


def test_told_to_end_it_finishes_the_run_in_flight(
    worker: WorkerProcess, producer: LogProducer, topic: str, rows: Rows
) -> None:
    fill(producer, topic, 3000)
    wait_for_progress(rows)
    worker.signal(signal.SIGTERM)
    code, _ = worker.ended()
    assert code in (0, -signal.SIGTERM)
    applied = count(rows)
    assert rows.execute("SELECT sum(next) FROM positions").fetchone() == (applied,)


def test_a_process_that_stood_still_too_long_ends_itself(
    worker: WorkerProcess, producer: LogProducer, topic: str, rows: Rows
) -> None:
    fill(producer, topic, 3)
    wait_until(lambda: count(rows) == 3, what="the first records")
    worker.signal(signal.SIGSTOP)
    stopped_at = time.monotonic()
    wait_until(lambda: time.monotonic() - stopped_at > 0.95 * SESSION_TIMEOUT, what="its session to be almost over")
    worker.signal(signal.SIGCONT)
    code, output = worker.ended(5.0)
    assert code == EXIT_CODE
    assert "stood still" in output


async def collect(session: AsyncSession, records: Sequence[Record]) -> None:
    values = [{"partition": one.partition, "offset": one.offset, "value": one.value} for one in records]
    await session.execute(APPLY, values)


def source_offset(record: Record) -> int:
    return int((record.value or b"").split(b" ")[0])


async def test_a_derived_topic_is_applied_by_its_sources_offsets(
    kafka: str, declaration: Mapping[str, Topic], topic: str, producer: LogProducer, url: SecretStr, rows: Rows
) -> None:
    def write(*values: bytes) -> None:
        for value in values:
            producer.send(topic, value, key=b"k", partition=1).result(10)

    def reader() -> DatabaseReader:
        return DatabaseReader("tester", topic, kafka, url, collect, source_offset=source_offset, topics=declaration)

    await asyncio.to_thread(write, b"0", b"1", b"2", b"1", b"2", b"4 too early", b"3", b"2 altered", b"0", b"4")
    async with reader().running() as first:
        assert await first.reached(15)
    await asyncio.to_thread(write, b"4", b"3", b"5", b"6")
    async with reader().running() as second:
        assert await second.reached(15)
    applied = rows.execute("SELECT value FROM applied ORDER BY id").fetchall()
    assert [value for (value,) in applied] == [b"0", b"1", b"2", b"3", b"4", b"5", b"6"]
    assert rows.execute("SELECT next FROM positions WHERE partition = 1").fetchone() == (7,)
    assert REGISTRY.get_sample_value("threshold_reader_differing_copies_total", {"topic": topic}) == 1


async def test_reached_means_all_that_stood_there_when_it_was_asked(
    kafka: str, declaration: Mapping[str, Topic], topic: str, producer: LogProducer, url: SecretStr
) -> None:
    blocked = asyncio.Event()

    async def apply(session: AsyncSession, records: Sequence[Record]) -> None:
        await blocked.wait()
        await collect(session, records)

    async with DatabaseReader("tester", topic, kafka, url, apply, topics=declaration).running() as reader:
        assert await reader.reached(15)
        await reader.ping()
        await asyncio.to_thread(fill, producer, topic, 30)
        assert not await reader.reached(0.2)
        waiting = asyncio.create_task(reader.reached(10))
        blocked.set()
        assert await waiting


async def test_two_readers_and_their_topics_run_in_one_process(
    kafka: str, declaration: Mapping[str, Topic], producer: LogProducer, topic: str, url: SecretStr
) -> None:
    other = create(kafka, "kit-reader-other", 1)
    await asyncio.to_thread(fill, producer, topic, 3)
    readers = [
        DatabaseReader("tester", name, kafka, url, collect, topics=topics)
        for topics in (declaration, other)
        for name in topics
    ]
    async with readers[0].running(), readers[1].running():
        assert await readers[0].reached(15)
        assert await readers[1].reached(15)


def test_a_position_that_is_not_this_readers_ends_the_process(
    worker: WorkerProcess, producer: LogProducer, topic: str, rows: Rows
) -> None:
    fill(producer, topic, 3)
    wait_until(lambda: count(rows) == 3, what="the first records")
    rows.execute("UPDATE positions SET next = next - 1")  # somebody else moved it
    fill(producer, topic, 3)
    code, output = worker.ended()
    assert (code, count(rows)) == (EXIT_CODE, 3)
    assert "PositionMovedError" in output
    rows.execute("UPDATE positions SET next = 1000")  # it is of another log
    worker.start()
    code, output = worker.ended()
    assert (code, count(rows)) == (EXIT_CODE, 3)
    assert "the log ends at 2" in output


async def test_runs_that_wait_for_each_other_share_a_transaction(
    producer: LogProducer, declaration: Mapping[str, Topic], kafka: str, topic: str, url: SecretStr, rows: Rows
) -> None:
    """One that takes long lets the others gather; what they share is still applied in the order of each partition."""
    transactions: list[list[Record]] = []
    may_go_on = asyncio.Event()

    async def apply(session: AsyncSession, records: Sequence[Record]) -> None:
        transactions.append(list(records))
        await may_go_on.wait()
        await session.execute(
            APPLY, [{"partition": r.partition, "offset": r.offset, "value": r.value} for r in records]
        )

    reader = DatabaseReader("tester", topic, kafka, url, apply, topics=declaration)
    await asyncio.to_thread(fill, producer, topic, 1)
    async with reader.running():
        await wait_until_async(lambda: bool(transactions), what="the first run")
        await asyncio.to_thread(fill, producer, topic, 9)
        try:
            await wait_until_async(lambda: {1, 2} <= set(reader._waiting), what="the other partitions' runs")
        finally:
            may_go_on.set()
        assert await reader.reached(10)
    assert {record.partition for record in transactions[1]} >= {1, 2}
    applied = [(one.partition, one.offset) for records in transactions for one in records]
    assert [each for each in applied if each[0] == 1] == [(1, 0), (1, 1), (1, 2)]
    assert count(rows) == len(applied) == 10
    assert dict(rows.execute("SELECT partition, next FROM positions").fetchall()) == {0: 4, 1: 3, 2: 3}


async def test_a_patient_reader_gathers_what_comes_one_by_one(
    producer: LogProducer, declaration: Mapping[str, Topic], kafka: str, topic: str, url: SecretStr
) -> None:
    """The control: one without patience has the first record long before the last is sent."""
    transactions: dict[float, list[int]] = {0.0: [], 2.0: []}
    for patience, sizes in transactions.items():

        async def apply(_: AsyncSession, records: Sequence[Record], sizes: list[int] = sizes) -> None:
            sizes.append(len(records))

        reader = DatabaseReader("tester", topic, kafka, url, apply, topics=declaration, patience=patience)
        async with reader.running():
            assert await reader.reached(20)
            sizes.clear()
            for _ in range(5):
                await asyncio.to_thread(fill, producer, topic, 1)
                if not patience:
                    assert await reader.reached(20)
            assert await reader.reached(20)
    assert transactions[0.0] == [1] * 5
    assert sum(transactions[2.0]) == 5
    assert max(transactions[2.0]) > 1
