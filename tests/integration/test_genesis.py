"""The log begins once, completely, and under our root key; governance writes to no other."""

import dataclasses
from collections import defaultdict

import pytest
from aiokafka import AIOKafkaProducer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from policy.state import PartitionState
from policy.step import Fold
from schemas.control import SigningKey
from services.governance import genesis
from services.governance.settings import GovernanceSettings
from services.kit import cluster, keys, topics
from services.kit.broker import Record, read_all
from services.kit.topics import Topic
from tests.support.callers import Community

COMMUNITY = Community()
SIGNING_KEY, CONSENT_KEY = keys.generate(), keys.generate()
LOG_ID = keys.random_id()
PARTITIONS = 12


def settings(kafka: str, root_key: Ed25519PrivateKey = COMMUNITY.root_key) -> GovernanceSettings:
    values = COMMUNITY.setting_values("governance") | {
        "kafka": kafka,
        "database_url": "postgresql+psycopg://unused",
        "root_key": root_key,
        "root_fingerprint": keys.fingerprint(root_key.public_key()),
        "governance_signing_key": SIGNING_KEY,
        "consent_public_key": CONSENT_KEY.public_key(),
        "admin_client_id": "admin",
        "admin_client_secret": "secret",
    }
    return GovernanceSettings(**values)


@pytest.fixture
def topic(kafka: str) -> Topic:
    """An empty log of the test's own."""
    declared = dataclasses.replace(topics.load()["client-events"], name=f"genesis-{keys.random_id()}")
    cluster.apply(kafka, {declared.name: declared})
    return declared


async def records(kafka: str, topic: Topic) -> dict[int, list[Record]]:
    found: dict[int, list[Record]] = defaultdict(list)
    async for run in read_all(kafka, topic.name, dict.fromkeys(range(topic.partitions), 0)):
        found[run[0].partition].extend(run)
    return found


async def write(kafka: str, topic: Topic, partition: int, key: bytes | None, value: bytes | None) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        await producer.send_and_wait(topic.name, value, key=key, partition=partition)


async def test_every_partition_begins_with_a_genesis_and_two_keys_that_the_policy_accepts(
    kafka: str, topic: Topic
) -> None:
    await genesis.ensure(settings(kafka), LOG_ID, topic)
    found = await records(kafka, topic)
    assert {partition: len(each) for partition, each in found.items()} == dict.fromkeys(range(PARTITIONS), 3)
    for partition, each in found.items():
        fold = Fold(PartitionState(partition=partition, root_fingerprint=settings(kafka).root_fingerprint))
        for record in each:
            fold.step(record.timestamp_ms, record.key, record.headers, record.value)
        control = fold.state.control
        assert control.genesis is not None
        assert (control.genesis.log_id, control.genesis.partition, control.in_doubt) == (LOG_ID, partition, False)
        assert control.keys == {key.id: key for key in expected_keys()}


def expected_keys() -> list[SigningKey]:
    owners = {"governance": (SIGNING_KEY, genesis.OWN_TYPES), "consent": (CONSENT_KEY, genesis.CONSENT_TYPES)}
    return [
        SigningKey(
            id=keys.signing_key_id(key.public_key()),
            public_key=keys.encode_public(key.public_key()),
            owner=owner,
            types=types,
        )
        for owner, (key, types) in owners.items()
    ]


async def test_a_log_that_has_begun_is_left_as_it_is(kafka: str, topic: Topic) -> None:
    await genesis.ensure(settings(kafka), LOG_ID, topic)
    before = await records(kafka, topic)
    await genesis.ensure(settings(kafka), LOG_ID, topic)
    assert await records(kafka, topic) == before


async def test_a_genesis_that_was_cut_short_is_completed(kafka: str, topic: Topic) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka, enable_idempotence=True, acks="all") as producer:
        for partition in (0, 7):
            await genesis._begin(producer, settings(kafka), LOG_ID, topic, partition)
    before = await records(kafka, topic)
    assert set(before) == {0, 7}
    await genesis.ensure(settings(kafka), LOG_ID, topic)
    after = await records(kafka, topic)
    assert {partition: len(each) for partition, each in after.items()} == dict.fromkeys(range(PARTITIONS), 3)
    assert (after[0], after[7]) == (before[0], before[7])


@pytest.mark.parametrize("value", [b"{}", b"", None, b"not json"])
async def test_a_partition_that_begins_otherwise_stops_it(kafka: str, topic: Topic, value: bytes | None) -> None:
    await write(kafka, topic, 5, b"control/genesis", value)
    with pytest.raises(genesis.ForeignLogError, match=rf"{topic.name}/5 does not begin with a genesis"):
        await genesis.ensure(settings(kafka), LOG_ID, topic)
    assert set(await records(kafka, topic)) == {5}


async def test_another_root_key_or_another_log_stops_it(kafka: str, topic: Topic) -> None:
    await genesis.ensure(settings(kafka), LOG_ID, topic)
    with pytest.raises(genesis.ForeignLogError, match="another root key"):
        await genesis.ensure(settings(kafka, keys.generate()), LOG_ID, topic)
    with pytest.raises(genesis.ForeignLogError, match="another log"):
        await genesis.ensure(settings(kafka), keys.random_id(), topic)


async def test_a_partitions_genesis_does_not_begin_another_partition(kafka: str, topic: Topic) -> None:
    other = dataclasses.replace(topic, name=f"genesis-{keys.random_id()}")
    cluster.apply(kafka, {other.name: other})
    await genesis.ensure(settings(kafka), LOG_ID, topic)
    first = (await records(kafka, topic))[0][0]
    await write(kafka, other, 1, first.key, first.value)
    with pytest.raises(genesis.ForeignLogError, match="partition"):
        await genesis.ensure(settings(kafka), LOG_ID, other)
