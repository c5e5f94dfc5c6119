"""The beginning of the log: each partition's first records say whose log it is and whose signatures count."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from policy.control import POLICY_VERSION, control_key
from policy.parse import Refused, is_genesis, parse
from schemas.control import GenesisData, KeyData, SigningKey
from schemas.records import ControlEvent, KeyAdded, LogGenesis
from services.governance.records import UNSIGNED, attributes, next_order
from services.governance.settings import GovernanceSettings
from services.kit.broker import allow
from services.kit.connecting import Kafka, for_client
from services.kit.keys import encode_public, signing_key_id
from services.kit.logs import OperatorError
from services.kit.signing import Signer
from services.kit.topics import Topic

FIRST_RECORD_SECONDS: Final = 30
OWN_TYPES: Final = ("organization.", "agreement.", "policy.", "key.", "control.")
CONSENT_TYPES: Final = ("consent.", "client.")


class ForeignLogError(OperatorError):
    """The log does not begin as this governance would have begun it: nothing may be written to it."""


async def ensure(settings: GovernanceSettings, log_id: str, topic: Topic) -> None:
    """Begin every partition of `topic` that is empty; ForeignLogError if another does not begin with our genesis.

    A partition's three first records are one batch, which the log takes whole or not at all, so a genesis that was cut
    short is completed by beginning the partitions it did not reach. One process at a time: the caller holds a lock.
    """
    allow("governance", topic.name, {topic.name: topic})
    first = await _first_records(settings.kafka, topic)
    for partition, record in first.items():
        if record is not None:
            _check(settings, log_id, topic, partition, record)
    async with AIOKafkaProducer(
        **for_client(settings.kafka), enable_idempotence=True, acks="all", client_id="governance"
    ) as producer:
        for partition in (partition for partition, record in first.items() if record is None):
            await _begin(producer, settings, log_id, topic, partition)


async def _first_records(kafka: Kafka, topic: Topic) -> dict[int, Any]:
    """Return partition -> the record at offset 0, None where the partition is empty."""
    first: dict[int, Any] = dict.fromkeys(range(topic.partitions))
    consumer = AIOKafkaConsumer(**for_client(kafka), enable_auto_commit=False, auto_offset_reset="none")
    async with consumer:
        ends = await consumer.end_offsets([TopicPartition(topic.name, partition) for partition in first])
        for partition in (each for each, end in ends.items() if end > 0):
            consumer.assign([partition])
            consumer.seek(partition, 0)
            found = await consumer.getmany(partition, timeout_ms=FIRST_RECORD_SECONDS * 1000, max_records=1)
            if not found:
                raise TimeoutError(f"{topic.name}/{partition.partition}: its first record did not come")
            first[partition.partition] = found[partition][0]
    return first


def _check(
    settings: GovernanceSettings,
    log_id: str,
    topic: Topic,
    partition: int,
    record: Any,  # noqa: ANN401 - aiokafka has no types
) -> None:
    where = f"{topic.name}/{partition}"
    try:
        event = parse(record.value)
    except Refused as refused:
        raise ForeignLogError(f"{where} does not begin with a genesis: {refused.code}.") from refused
    key = (record.key or b"").decode(errors="replace")
    if record.offset != 0 or not isinstance(event, LogGenesis):
        raise ForeignLogError(f"{where} does not begin with a genesis.")
    if not is_genesis(event, key, partition, settings.root_fingerprint):
        raise ForeignLogError(f"{where} begins with the genesis of another root key or partition.")
    if (event.data.log_id, event.data.partitions) != (log_id, topic.partitions):
        raise ForeignLogError(f"{where} begins another log than the one this governance's database knows.")


async def _begin(
    producer: AIOKafkaProducer, settings: GovernanceSettings, log_id: str, topic: Topic, partition: int
) -> None:
    root = Signer("root", settings.root_key)
    batch = producer.create_batch()
    for event in _first_events(settings, log_id, topic.partitions, partition):
        key = control_key(event)
        taken = batch.append(key=key.encode(), value=root.sign(event, log_id=log_id, key=key), timestamp=None)
        if taken is None:
            raise OverflowError("the first records of a partition do not fit one batch")
    batch.close()
    placed = await (await producer.send_batch(batch, topic.name, partition=partition))
    if placed.offset != 0:
        raise ForeignLogError(f"{topic.name}/{partition} was begun by somebody else at the same time.")


def _first_events(settings: GovernanceSettings, log_id: str, partitions: int, partition: int) -> list[ControlEvent]:
    moment = datetime.now(UTC)
    order = next_order(0, moment)
    genesis = GenesisData(
        order=order,
        key_id=UNSIGNED,
        signature=UNSIGNED,
        log_id=log_id,
        partitions=partitions,
        partition=partition,
        root_public_key=encode_public(settings.root_key.public_key()),
        policy_version=POLICY_VERSION,
    )
    owners: Mapping[str, tuple[Ed25519PublicKey, tuple[str, ...]]] = {
        "governance": (settings.governance_signing_key.public_key(), OWN_TYPES),
        "consent": (settings.consent_public_key, CONSENT_TYPES),
    }
    keys = [
        SigningKey(id=signing_key_id(key), public_key=encode_public(key), owner=owner, types=types)
        for owner, (key, types) in owners.items()
    ]
    added = [KeyData(order=order, key_id=UNSIGNED, signature=UNSIGNED, key=key) for key in keys]
    return [
        LogGenesis(**attributes(moment), data=genesis),
        *(KeyAdded(**attributes(moment), data=data) for data in added),
    ]
