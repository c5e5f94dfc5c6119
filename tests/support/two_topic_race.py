"""The race on the design that we did not take, which must leak: else a race that finds no leak says nothing."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from aiokafka import AIOKafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic

from bench.workload import PARTITIONS
from services.kit.broker import Record, read_all
from tests.support import two_topic_design as control
from tests.support.waiting import wait_until_async

# One of each partition, never revoked: what was sent before an event of theirs was seen before it crossed.
LAST_CLIENTS = tuple(f"last-{partition}".encode() for partition in range(PARTITIONS))


@dataclass(frozen=True)
class Leaks:
    """Events that crossed although their client's revocation was acknowledged before they were sent.

    `racing`: those sent at once. `late`: those sent when the revocations had been read; none, if the design works.
    """

    racing: int
    late: int


async def race_on_two_topics(kafka: str, clients: Sequence[str], home: Path) -> Leaks:
    """Grant, and then revoke and publish for each client; half of them while the worker works, half while it is dead.

    Makes the control's topics, so call it once for one Kafka. `home` is a folder for the worker's data.
    """
    await asyncio.to_thread(_create_topics, kafka)
    worker = await _worker(kafka, home)
    try:
        async with AIOKafkaProducer(bootstrap_servers=kafka, acks="all") as producer:
            await _grant(producer, clients)
            await wait_until_async(partial(_asked, producer, kafka, b"probe"), what="the control design", deadline=90)
            await asyncio.gather(*[_revoke_then_publish(producer, client) for client in clients[::2]])
            worker.kill()
            await worker.wait()
            await asyncio.gather(*[_revoke_then_publish(producer, client) for client in clients[1::2]])
            worker = await _worker(kafka, home)
            await wait_until_async(partial(_crosses, kafka, b"event"), what="a leak", deadline=60)
            racing = await _at_rest(kafka)
            await asyncio.gather(*[producer.send_and_wait(control.EVENTS, b"late", one.encode()) for one in clients])
            await wait_until_async(partial(_asked, producer, kafka, b"after"), what="the late events", deadline=60)
        return Leaks(racing, await _count(kafka, b"late"))
    finally:
        worker.kill()
        await worker.wait()


def _create_topics(kafka: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    topics = (control.CONSENTS, control.EVENTS, control.CROSSED, "two-topic-design-granted-changelog")
    admin.create_topics([NewTopic(name, num_partitions=PARTITIONS, replication_factor=1) for name in topics])
    admin.close()


async def _worker(kafka: str, home: Path) -> asyncio.subprocess.Process:
    environment = {**os.environ, "CONTROL_KAFKA": kafka, "CONTROL_DATA": str(home / "control")}
    command = (sys.executable, "-m", "tests.support.two_topic_design", "worker", "-l", "error", "--without-web")
    return await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


async def _grant(producer: AIOKafkaProducer, clients: Sequence[str]) -> None:
    for client in clients:
        await producer.send(control.CONSENTS, b"granted", client.encode())
    for partition, last in enumerate(LAST_CLIENTS):
        await producer.send(control.CONSENTS, b"granted", last, partition)


async def _revoke_then_publish(producer: AIOKafkaProducer, client: str) -> None:
    await producer.send_and_wait(control.CONSENTS, b"revoked", client.encode())
    await producer.send_and_wait(control.EVENTS, b"event", client.encode())


async def _asked(producer: AIOKafkaProducer, kafka: str, value: bytes) -> bool | None:
    """Ask with an event of each partition's last client until all of them cross."""
    for partition, last in enumerate(LAST_CLIENTS):
        await producer.send(control.EVENTS, value, last, partition)
    await producer.flush()
    return {record.key for record in await _crossed(kafka) if record.value == value} == set(LAST_CLIENTS)


async def _at_rest(kafka: str) -> int:
    """Wait until nothing more crosses, which is when the count stands still over several looks; return it."""
    seen: list[int] = []

    async def still() -> bool | None:
        seen.append(await _count(kafka, b"event"))
        return len(seen) > 20 and len(set(seen[-20:])) == 1

    await wait_until_async(still, what="the control design to come to rest", deadline=60)
    return seen[-1]


async def _crosses(kafka: str, value: bytes) -> bool | None:
    return await _count(kafka, value) > 0


async def _count(kafka: str, value: bytes) -> int:
    """How many clients' events with this value crossed."""
    return len({record.key for record in await _crossed(kafka) if record.value == value})


async def _crossed(kafka: str) -> list[Record]:
    starts = dict.fromkeys(range(PARTITIONS), 0)
    return [record async for run in read_all(kafka, control.CROSSED, starts) for record in run]
