"""Faust in batches on the real broker: commits only what was done, waits when partitions move, writes runs whole."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from faust.contrib.asgi import faust_app_running

from services.kit.batches import BatchApp, Run, StartOffsets, batch_app
from services.kit.broker import NotAWriterError, read_all
from services.kit.ending import EXIT_CODE
from services.kit.producing import LogProducer
from services.kit.topics import Topic
from tests.support.topics import create, declared
from tests.support.waiting import wait_until, wait_until_async
from tests.support.workers import WorkerProcess

PARTITIONS = 4
SHORT = 1.0  # seconds


@pytest.fixture
def declaration(kafka: str) -> Mapping[str, Topic]:
    return create(kafka, "kit-batches", PARTITIONS)


@pytest.fixture
def topic(declaration: Mapping[str, Topic]) -> str:
    return next(iter(declaration))


@pytest.fixture
def producer(kafka: str, declaration: Mapping[str, Topic]) -> Iterator[LogProducer]:
    opened = LogProducer("tester", kafka, topics=declaration)
    yield opened
    opened.close()


def fill(producer: LogProducer, topic: str, each: int, value: bytes = b"x") -> None:
    sent = [producer.send(topic, value, key=b"k", partition=part) for part in range(PARTITIONS) for _ in range(each)]
    for future in sent:
        future.result(30)


async def commits(kafka: str, group: str, topic: str) -> list[int | None]:
    async with AIOKafkaConsumer(bootstrap_servers=kafka, group_id=group, enable_auto_commit=False) as consumer:
        return [await consumer.committed(TopicPartition(topic, part)) for part in range(PARTITIONS)]


async def test_a_handler_that_raises_ends_the_process_and_its_run_is_not_committed(
    kafka: str, declaration: Mapping[str, Topic], topic: str, producer: LogProducer
) -> None:
    await asyncio.to_thread(fill, producer, topic, 100)
    group = f"{topic}.group"
    async with consuming(kafka, topic, declaration, lambda _: None, group):
        await wait_until_async(lambda: all_committed(kafka, group, topic, 100), what="the commit of what was done")
    await asyncio.to_thread(fill, producer, topic, 1, b"poison")
    worker = WorkerProcess("tests.integration.test_batches", (kafka, topic, group))
    worker.start()
    code, output = await asyncio.to_thread(worker.ended)
    assert (code, "ZeroDivisionError" in output) == (EXIT_CODE, True)
    assert await commits(kafka, group, topic) == [100] * PARTITIONS


async def test_partitions_move_only_when_the_runs_in_flight_are_done(
    kafka: str, declaration: Mapping[str, Topic], topic: str, producer: LogProducer
) -> None:
    handled: list[tuple[str, int, int]] = []
    finish, begun, group = asyncio.Event(), asyncio.Event(), f"{topic}.group"

    def handler(name: str, wait: asyncio.Event | None) -> BatchApp:
        async def handle(run: Run) -> None:
            begun.set()
            if wait:
                await wait.wait()
            handled.extend((name, run.partition, record.offset) for record in run.records())

        return batch_app("tester", kafka, topic, handle, topics=declaration, group=group, instance=name)

    await asyncio.to_thread(fill, producer, topic, 10)
    first, second = handler("first", finish), handler("second", None)
    async with AsyncExitStack() as running:
        await running.enter_async_context(faust_app_running(first))
        await begun.wait()
        ownership = first.batch_consumer.ownership
        async with asyncio.TaskGroup() as tasks:
            # It has started once it has partitions.
            tasks.create_task(running.enter_async_context(faust_app_running(second)))
            await wait_until_async(lambda: not first.batch_consumer.flow_active, what="the revocation to begin")
            assert handled == []  # the second has nothing while the first is at work
            finish.set()
        assert first.batch_consumer.ownership > ownership
        await asyncio.to_thread(fill, producer, topic, 10)
        await wait_until_async(lambda: len(handled) >= 20 * PARTITIONS, what="all records")
    assert sorted((part, offset) for _, part, offset in handled) == [
        (part, offset) for part in range(PARTITIONS) for offset in range(20)
    ]
    assert {name for name, *_ in handled} == {"first", "second"}


async def test_who_is_busy_for_long_but_alive_goes_on(
    kafka: str, declaration: Mapping[str, Topic], topic: str, producer: LogProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its heartbeats come from another thread, so the partitions are its own; to end it would be to begin anew."""
    monkeypatch.setattr("services.kit.runs.SESSION_TIMEOUT", SHORT)
    await asyncio.to_thread(fill, producer, topic, 10)
    handled: list[tuple[int, int]] = []

    def busily(run: Run) -> None:
        if not handled:
            until = time.monotonic() + 2 * SHORT
            wait_until(lambda: time.monotonic() > until, what="the loop to be busy")  # it does nothing else meanwhile
        handled.append((run.ownership, run.end - run.first))

    async with consuming(kafka, topic, declaration, busily, f"{topic}.group"):
        await wait_until_async(lambda: sum(each for _, each in handled) == 10 * PARTITIONS, what="all records")
    assert len({ownership for ownership, _ in handled}) == 1


async def test_it_reads_on_from_where_the_app_says_whatever_was_committed(
    kafka: str, declaration: Mapping[str, Topic], topic: str, producer: LogProducer
) -> None:
    await asyncio.to_thread(fill, producer, topic, 10)
    group = f"{topic}.group"
    async with consuming(kafka, topic, declaration, lambda _: None, group):
        await wait_until_async(lambda: all_committed(kafka, group, topic, 10), what="the commit of everything")
    starts, seen = {0: 7, 1: 0, 2: 10, 3: 9}, dict.fromkeys(range(PARTITIONS), 0)

    async def start_offsets(assigned: frozenset[int]) -> Mapping[int, int]:
        assert assigned == frozenset(starts)
        return starts

    def count(run: Run) -> None:
        assert run.first == starts[run.partition]
        seen[run.partition] += run.end - run.first

    async with consuming(kafka, topic, declaration, count, group, start_offsets):
        await wait_until_async(lambda: seen == {0: 3, 1: 10, 2: 0, 3: 1} or None, what="each from its start")


async def test_a_run_is_written_whole_in_order_and_only_by_its_writer(
    kafka: str, declaration: Mapping[str, Topic], topic: str
) -> None:
    values = [str(number).encode() * 100 for number in range(5000)]  # several batches
    async with consuming(kafka, topic, declaration, lambda _: None, f"{topic}.group") as app:
        assert await app.batch_producer.send_run(topic, 2, [(b"k", value) for value in values]) == len(values)
        assert await app.batch_producer.send_run(topic, 2, [(None, b"last")]) == len(values) + 1
        with pytest.raises(NotAWriterError):
            await app.batch_producer.send_run("disclosures", 0, [(b"k", b"forged")])
    written = [record async for run in read_all(kafka, topic, {2: 0}) for record in run]
    assert [record.value for record in written] == [*values, b"last"]
    assert [record.offset for record in written] == list(range(len(values) + 1))


@asynccontextmanager
async def consuming(
    kafka: str,
    topic: str,
    topics: Mapping[str, Topic],
    take: Callable[[Run], None],
    group: str,
    start_offsets: StartOffsets | None = None,
) -> AsyncIterator[BatchApp]:
    async def handle(run: Run) -> None:
        take(run)

    app = batch_app("tester", kafka, topic, handle, topics=topics, group=group, start_offsets=start_offsets)
    async with faust_app_running(app):
        yield app


async def all_committed(kafka: str, group: str, topic: str, offset: int) -> bool:
    return await commits(kafka, group, topic) == [offset] * PARTITIONS


async def raising_worker(kafka: str, topic: str, group: str) -> None:
    def divide(run: Run) -> None:
        _ = 1 // len([record for record in run.records() if record.value != b"poison"])

    async with consuming(kafka, topic, declared(topic, PARTITIONS), divide, group):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(raising_worker(*sys.argv[1:]))
