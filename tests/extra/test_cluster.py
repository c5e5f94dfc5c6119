"""Three brokers of docker-compose.yml: each topic has three copies, and one broker's death loses nothing."""

from collections.abc import Iterator

import pytest
from kafka.errors import KafkaError

from services.kit import cluster
from services.kit.connecting import Kafka, from_environment
from services.kit.producing import LogProducer
from tests.support.composed import Composed
from tests.support.stack import new_home
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(300)

TOPIC = "client-events"


@pytest.fixture
def three() -> Iterator[Composed]:
    with new_home() as home:
        home.mkdir()
        deployment = Composed(home, brokers=3)
        try:
            deployment.up("topics")
            yield deployment
        finally:
            deployment.down()


def reached(deployment: Composed, user: str) -> Kafka:
    kafka = from_environment(
        user,
        {
            "THRESHOLD_KAFKA": deployment.kafka,
            "THRESHOLD_KAFKA_CA": str(deployment.authority),
            "THRESHOLD_KAFKA_PASSWORD": deployment.secrets[f"THRESHOLD_{user.upper()}_KAFKA_PASSWORD"],
        },
    )
    assert kafka is not None
    return kafka


def test_what_was_acknowledged_outlives_a_broker_and_writing_goes_on(three: Composed) -> None:
    admin = reached(three, "admin")
    assert cluster.check(admin, replicas=3) == []
    assert any("min.insync.replicas=2 instead of 1" in said for said in cluster.check(admin, replicas=2))
    with cluster.connected(admin) as connected:
        [described] = connected.describe_topics([TOPIC])
    assert [len(partition["replica_nodes"]) for partition in described["partitions"]] == [3] * 12

    producer = LogProducer("consent", reached(three, "consent"))
    try:
        assert _written(producer) == [0] * 12
        three.stop("kafka-2")
        wait_until(lambda: _written(producer), what="every partition to have a leader again", deadline=60)
    finally:
        producer.close()
    three.start("kafka-2")
    three.wait("kafka-2")
    wait_until(lambda: _in_sync(admin), what="all copies to be in step again", deadline=60)


def _written(producer: LogProducer) -> list[int]:
    """Write a record to each partition; return their offsets, nothing if one is not acknowledged."""
    try:
        sent = [producer.send(TOPIC, b"{}", key=b"k", partition=number) for number in range(12)]
        return [placed.result(30).offset for placed in sent]
    except (KafkaError, TimeoutError):
        return []


def _in_sync(admin: Kafka) -> bool:
    with cluster.connected(admin) as connected:
        [described] = connected.describe_topics([TOPIC])
    return all(len(partition["isr_nodes"]) == 3 for partition in described["partitions"])
