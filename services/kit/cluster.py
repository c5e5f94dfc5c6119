"""A cluster's topics: make them as declared, find what differs."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from uuid import UUID

from kafka.admin import ConfigResource, KafkaAdminClient
from kafka.errors import for_code

from services.kit.connecting import Kafka, for_client
from services.kit.topics import Topic, differences, load

BOOTSTRAP_TIMEOUT_MS = 10_000


@dataclass(frozen=True)
class Change:
    """One thing that `apply` did to the cluster."""

    topic: str
    what: str

    def __str__(self) -> str:
        return f"{self.topic}: {self.what}"


def apply(kafka: Kafka, topics: Mapping[str, Topic] | None = None, *, replicas: int | None = None) -> list[Change]:
    """Create what the cluster lacks and set what is set otherwise; return what was done, nothing when all was right.

    With `replicas` a topic is created with so many copies, and a write counts once all but one of them have it; without
    it both are the cluster's defaults. Never changes a partition count: keys would move to other partitions and lose
    their order. `check` reports it.
    """
    declared = _kept(load() if topics is None else topics, replicas)
    with connected(kafka) as admin:
        missing = [topic for topic in declared.values() if topic.name not in _partition_counts(admin, declared)]
        changes = _create(admin, missing, replicas)
        return changes + [change for topic in declared.values() for change in _configure(admin, topic)]


def check(kafka: Kafka, topics: Mapping[str, Topic] | None = None, *, replicas: int | None = None) -> list[str]:
    """Return every difference between the declarations and the cluster as a sentence; empty when there is none."""
    declared = _kept(load() if topics is None else topics, replicas)
    with connected(kafka) as admin:
        counts = _partition_counts(admin, declared)
        configs = {name: _actual_config(admin, topic) for name, topic in declared.items() if name in counts}
    return [
        sentence
        for name, topic in declared.items()
        for sentence in differences(topic, counts.get(name), configs.get(name, {}))
    ]


def topic_id(kafka: Kafka, topic: str) -> str:
    """Return the hex digits of the id that the cluster gave a topic when it was made; another of the same name differs.

    Raises kafka-python's KafkaError when nobody answers or there is no such topic.
    """
    with connected(kafka) as admin:
        (found,) = admin.describe_topics([topic])
    if found["error_code"]:
        raise for_code(found["error_code"])
    return UUID(str(found["topic_id"])).hex


def _kept(topics: Mapping[str, Topic], replicas: int | None) -> Mapping[str, Topic]:
    """Return the topics as a cluster must keep them that has so many copies of each."""
    if replicas is None:
        return topics
    return {name: replace(topic, min_insync_replicas=max(1, replicas - 1)) for name, topic in topics.items()}


@contextmanager
def connected(kafka: Kafka) -> Iterator[KafkaAdminClient]:
    """Administer the cluster while the block runs."""
    admin = KafkaAdminClient(**for_client(kafka), bootstrap_timeout_ms=BOOTSTRAP_TIMEOUT_MS)
    try:
        yield admin
    finally:
        admin.close()


def _partition_counts(admin: KafkaAdminClient, names: Collection[str]) -> dict[str, int]:
    described = admin.describe_topics(list(names)) if names else []
    return {found["name"]: len(found["partitions"]) for found in described if found["error_code"] == 0}


def _create(admin: KafkaAdminClient, topics: list[Topic], replicas: int | None) -> list[Change]:
    if topics:
        # Without a number: the broker's default replication factor, which is one on a laptop.
        copies = {} if replicas is None else {"replication_factor": replicas}
        wanted = {
            topic.name: {"num_partitions": topic.partitions, "configs": topic.config, **copies} for topic in topics
        }
        admin.create_topics(wanted, wait_for_metadata=True)
    return [Change(topic.name, f"created with {topic.partitions} partitions") for topic in topics]


def _configure(admin: KafkaAdminClient, topic: Topic) -> list[Change]:
    actual = _actual_config(admin, topic)
    wrong = {key: value for key, value in topic.config.items() if actual[key] != value}
    if wrong:
        admin.alter_configs([ConfigResource("TOPIC", topic.name, wrong)])
    return [Change(topic.name, f"{key} set from {actual[key]} to {value}") for key, value in wrong.items()]


def _actual_config(admin: KafkaAdminClient, topic: Topic) -> dict[str, str]:
    resource = ConfigResource("TOPIC", topic.name, list(topic.config))
    described = admin.describe_configs([resource], config_filter="all")
    return {key: entry["value"] for key, entry in described["topic"][topic.name].items()}
