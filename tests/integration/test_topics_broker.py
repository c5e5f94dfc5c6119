"""Topics, the producer and the bulk reader on the real broker."""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from dataclasses import replace

import pytest
from aiokafka.partitioner import DefaultPartitioner

from services.kit import broker, cluster, topics
from services.kit.broker import Ends, NotAWriterError, OutageHandler, Record, read_all
from services.kit.producing import LogProducer, NoSuchPartitionError, RecordTooLargeError
from services.kit.required import require_topics
from services.kit.topics import Topic
from tests.support.topics import create, declared


@pytest.fixture(scope="module")
def declaration(kafka: str) -> Mapping[str, Topic]:
    return create(kafka, "kit-broker")


@pytest.fixture(scope="module")
def topic(declaration: Mapping[str, Topic]) -> str:
    return next(iter(declaration))


@pytest.fixture(scope="module")
def producer(kafka: str, declaration: Mapping[str, Topic]) -> Iterator[LogProducer]:
    opened = LogProducer("tester", kafka, topics=declaration)
    yield opened
    opened.close()


async def test_what_is_missing_is_created_once_and_then_all_is_right(kafka: str) -> None:
    fresh = declared("kit-topics-created", 2)
    missing = ["The topic kit-topics-created does not exist."]
    assert cluster.check(kafka, fresh) == missing
    with pytest.raises(topics.TopicsDifferError) as raised:
        await require_topics(kafka, "tester", fresh)
    assert raised.value.differences == missing
    assert [str(change) for change in cluster.apply(kafka, fresh)] == ["kit-topics-created: created with 2 partitions"]
    assert cluster.apply(kafka, fresh) == []
    assert cluster.check(kafka, fresh) == []
    await require_topics(kafka, "tester", fresh)


async def test_a_setting_that_differs_is_told_and_put_right(kafka: str) -> None:
    first = declared("kit-topics-changed", 1)
    cluster.apply(kafka, first)
    larger = {name: replace(topic, max_message_bytes=300_000) for name, topic in first.items()}
    sentence = "The topic kit-topics-changed has max.message.bytes=262144 instead of 300000."
    assert cluster.check(kafka, larger) == [sentence]
    with pytest.raises(topics.TopicsDifferError, match=r"max\.message\.bytes"):
        await require_topics(kafka, "tester", larger)
    await require_topics(kafka, "somebody else", larger)
    assert len(cluster.apply(kafka, larger)) == 1
    assert cluster.check(kafka, larger) == []


async def test_a_partition_count_is_told_and_never_changed(kafka: str) -> None:
    cluster.apply(kafka, declared("kit-topics-partitions", 2))
    more = declared("kit-topics-partitions", 3)
    assert cluster.apply(kafka, more) == []
    sentence = "The topic kit-topics-partitions has 2 partitions instead of 3."
    assert cluster.check(kafka, more) == [sentence]
    with pytest.raises(topics.TopicsDifferError) as raised:
        await require_topics(kafka, "tester", more)
    assert raised.value.differences == [sentence]


def test_a_service_that_is_not_listed_can_not_write(kafka: str) -> None:
    producer = LogProducer("consent", kafka)
    try:
        for forbidden in ("disclosures", "deliveries", "unheard-of"):
            with pytest.raises(NotAWriterError):
                producer.send(forbidden, b"forged", key=b"client")
    finally:
        producer.close()


def test_a_record_goes_where_the_hash_of_its_key_or_the_sender_says(producer: LogProducer, topic: str) -> None:
    place = DefaultPartitioner()
    for number in range(50):
        key = f"client-{number}".encode()
        assert producer.send(topic, b"x", key=key).result(10).partition == place(key, [0, 1, 2], [0, 1, 2])
    placed = [producer.send(topic, b"x", key=b"control/a", partition=part).result(10) for part in range(3)]
    assert [one.partition for one in placed] == [0, 1, 2]
    with pytest.raises(NoSuchPartitionError):
        producer.send(topic, b"x", key=b"control/a", partition=3)


def taken(producer: LogProducer, topic: str, size: int) -> bool:
    try:
        sent = producer.send(topic, bytes(size), key=b"large")
    except RecordTooLargeError:
        return False
    return sent.result(10).offset >= 0


def test_a_record_too_large_is_refused_and_the_producer_goes_on(producer: LogProducer, topic: str) -> None:
    with pytest.raises(RecordTooLargeError):
        producer.send(topic, bytes(262_144), key=b"large")
    # As large as may be: were the check any looser, the broker's refusal would end the producer.
    largest = next(size for size in range(262_144, 0, -1) if taken(producer, topic, size))
    assert largest > 262_000
    assert producer.send(topic, b"small", key=b"small").result(10).offset >= 0


async def test_reading_ends_where_the_partitions_ended_when_it_began(
    kafka: str, producer: LogProducer, topic: str
) -> None:
    await asyncio.to_thread(producer.send(topic, b"first", key=b"k", headers=(("h", b"v"),), partition=0).result, 10)
    async with Ends(kafka, topic, 3) as ends:
        expected = await ends.now()
        read: list[Record] = []
        async with aclosing(read_all(kafka, topic, dict.fromkeys(range(3), 0), run_size=7)) as runs:
            async for run in runs:
                assert len({record.partition for record in run}) == 1
                if not read:
                    await asyncio.to_thread(producer.send(topic, b"too late", key=b"k", partition=0).result, 10)
                read += run
    for partition, end in expected.items():
        assert [record.offset for record in read if record.partition == partition] == list(range(end))
    last = next(record for record in reversed(read) if record.partition == 0)
    assert (last.value, last.key, last.headers) == (b"first", b"k", (("h", b"v"),))


async def test_there_is_nothing_to_read_from_the_end_on(kafka: str, topic: str) -> None:
    async with Ends(kafka, topic, 3) as ends:
        end = (await ends.now())[1]
    assert [run async for run in read_all(kafka, topic, {1: end})] == []


def test_the_storm_of_a_client_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    broker.quiet_clients()
    broker.quiet_clients()
    client = logging.getLogger("aiokafka.conn")
    handlers = logging.getLogger("aiokafka").handlers
    assert [type(handler) for handler in handlers].count(OutageHandler) == 1
    capsys.readouterr()
    handler = OutageHandler()
    for number in range(1000):
        handler.handle(client.makeRecord(client.name, logging.ERROR, "conn.py", 7, "lost %s", (number,), None))
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 1
    assert "aiokafka.conn" in told[0]
