"""Revocations and events published as fast as the machine can: what was revoked first never crosses.

The same harness runs on a control design, which must leak in the same run: else it could not have found a leak.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic

from bench.workload import PARTITIONS, Workload
from services.kit.broker import Record, read_all
from tests.support import two_topic_design as control
from tests.support.boundary_rig import OUTPUT, SOURCE, BoundaryRig, firsts
from tests.support.waiting import wait_until_async

PAIRS = 2_000
LAST_CLIENTS = tuple(f"last-{partition}".encode() for partition in range(PARTITIONS))
SEED = 20261122


@dataclass(frozen=True)
class Pair:
    """One client's grant, and a revocation and a referral that race each other."""

    client: str
    grant: tuple[int, bytes, bytes]
    revocation: tuple[int, bytes, bytes]
    request: tuple[int, bytes, bytes]


@pytest.fixture
def workload() -> Workload:
    return Workload(seed=SEED, events=0, clients=PAIRS)


@pytest.fixture
def rig(stack_home: Path, port_base: int, workload: Workload) -> Iterator[BoundaryRig]:
    rig = BoundaryRig(stack_home, port_base, workload.root_fingerprint)
    yield rig
    rig.end()


@pytest.mark.timeout(240)
async def test_no_pair_leaks_here_and_some_do_on_two_topics(
    rig: BoundaryRig, workload: Workload, stack_home: Path
) -> None:
    await rig.start_broker()
    pairs = [_pair(workload, client) for client in workload.clients]
    leaked, passed, due = await _ours(rig, workload, pairs)
    control_leaked = await _two_topics(rig, pairs, stack_home)
    print(f"seed {SEED}, {PAIRS} pairs: {leaked} leaks, {passed} of {due} legitimate events passed")
    print(f"the same pairs on two topics: {control_leaked} leaks")
    assert leaked == 0
    assert passed == due
    assert 0 < due < PAIRS, "a race that one side always wins is none"
    assert control_leaked > 0


def _pair(workload: Workload, client: str) -> Pair:
    recipient = workload.a_recipient(client)
    return Pair(
        client,
        workload.grant(client, 1, to=(recipient,)),
        workload.revocation(client, 2),
        workload.request(client, 3, to=recipient),
    )


async def _ours(rig: BoundaryRig, workload: Workload, pairs: list[Pair]) -> tuple[int, int, int]:
    """Leaks, legitimate events that passed, and how many of them were due by the order on the log.

    Half of the pairs race while the boundary works, half while it is dead.
    """
    await rig.produce([record for partition in range(PARTITIONS) for record in workload.beginning(partition)])
    rig.start_boundary()
    await rig.produce([pair.grant for pair in pairs])
    await rig.answered()
    await _race(rig.kafka, pairs[::2])
    rig.kill("boundary")
    await _race(rig.kafka, pairs[1::2])
    rig.start_boundary()
    await rig.answered()
    sources, outputs = await rig.read(SOURCE), await rig.read(OUTPUT)
    leaked = passed = due = 0
    for partition in range(PARTITIONS):
        revoked: set[bytes] = set()
        for source, output in zip(sources[partition], firsts(outputs[partition]), strict=True):
            kind = json.loads(source.value or b"")["type"]
            if kind == "consent.revoked":
                revoked.add(source.key or b"")
            elif kind == "referral.requested":
                (decision,) = json.loads(output.value or b"")["decisions"]
                permitted = decision["verdict"] == "permit"
                legitimate = source.key not in revoked
                leaked += permitted and not legitimate
                passed += permitted and legitimate
                due += legitimate
    return leaked, passed, due


async def _race(kafka: str, pairs: list[Pair]) -> None:
    """Both of each pair at once, by two producers that know nothing of each other: the broker says who was first."""
    revoking, publishing = (AIOKafkaProducer(bootstrap_servers=kafka, acks="all") for _ in range(2))
    async with revoking, publishing:
        sends = [(revoking, pair.revocation) for pair in pairs] + [(publishing, pair.request) for pair in pairs]
        random.Random(SEED).shuffle(sends)
        await asyncio.gather(
            *[producer.send_and_wait(SOURCE, value, key, partition) for producer, (partition, key, value) in sends]
        )


async def _two_topics(rig: BoundaryRig, pairs: list[Pair], home: Path) -> int:
    """How many events cross although their client's revocation was acknowledged before they were sent."""
    await asyncio.to_thread(_create_control_topics, rig.kafka)
    worker = await _control_worker(rig.kafka, home)
    try:
        async with AIOKafkaProducer(bootstrap_servers=rig.kafka, acks="all") as producer:
            for pair in pairs:
                await producer.send(control.CONSENTS, b"granted", pair.client.encode())
            for partition, last in enumerate(LAST_CLIENTS):  # whoever has seen these has seen all grants
                await producer.send(control.CONSENTS, b"granted", last, partition)
            await wait_until_async(partial(_probed, producer, rig.kafka), what="the control design", deadline=90)
            await asyncio.gather(*[_revoke_then_publish(producer, pair) for pair in pairs[::2]])
            worker.kill()
            await worker.wait()
            await asyncio.gather(*[_revoke_then_publish(producer, pair) for pair in pairs[1::2]])
            worker = await _control_worker(rig.kafka, home)
            await wait_until_async(partial(_crosses, rig.kafka, b"event"), what="a leak", deadline=60)
        return await _leaks_seen(rig.kafka)
    finally:
        worker.kill()
        await worker.wait()


async def _control_worker(kafka: str, home: Path) -> asyncio.subprocess.Process:
    environment = {**os.environ, "CONTROL_KAFKA": kafka, "CONTROL_DATA": str(home / "control")}
    command = (sys.executable, "-m", "tests.support.two_topic_design", "worker", "-l", "error", "--without-web")
    return await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


async def _crosses(kafka: str, value: bytes) -> bool | None:
    return any(record.value == value for record in await _crossed(kafka))


async def _probed(producer: AIOKafkaProducer, kafka: str) -> bool | None:
    """Ask with an event of each partition's last client until all of them cross."""
    for partition, last in enumerate(LAST_CLIENTS):
        await producer.send(control.EVENTS, b"probe", last, partition)
    await producer.flush()
    return {record.key for record in await _crossed(kafka) if record.value == b"probe"} == set(LAST_CLIENTS)


async def _revoke_then_publish(producer: AIOKafkaProducer, pair: Pair) -> None:
    await producer.send_and_wait(control.CONSENTS, b"revoked", pair.client.encode())
    await producer.send_and_wait(control.EVENTS, b"event", pair.client.encode())


def _create_control_topics(kafka: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    topics = (control.CONSENTS, control.EVENTS, control.CROSSED, "two-topic-design-granted-changelog")
    admin.create_topics([NewTopic(name, num_partitions=PARTITIONS, replication_factor=1) for name in topics])
    admin.close()


async def _leaks_seen(kafka: str) -> int:
    """Wait until nothing more crosses: the count stands still over several looks."""
    seen: list[int] = []

    async def still() -> bool | None:
        seen.append(sum(record.value == b"event" for record in await _crossed(kafka)))
        return len(seen) > 20 and len(set(seen[-20:])) == 1

    await wait_until_async(still, what="the control design to come to rest", deadline=60)
    return seen[-1]


async def _crossed(kafka: str) -> list[Record]:
    return [
        record async for run in read_all(kafka, control.CROSSED, dict.fromkeys(range(PARTITIONS), 0)) for record in run
    ]
