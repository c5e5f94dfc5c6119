"""A cluster's topics: make them as declared, find what differs."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from kafka.admin import ConfigResource, KafkaAdminClient
from kafka.errors import for_code

from services.kit.topics import Topic, differences, load

BOOTSTRAP_TIMEOUT_MS = 10_000


@dataclass(frozen=True)
class Change:
    """One thing that `apply` did to the cluster."""

    topic: str
    what: str

    def __str__(self) -> str:
        return f"{self.topic}: {self.what}"


def apply(bootstrap: str, topics: Mapping[str, Topic] | None = None) -> list[Change]:
    """Create what the cluster lacks and set what is set otherwise; return what was done, nothing when all was right.

    Never changes a partition count: keys would move to other partitions and lose their order. `check` reports it.
    """
    declared = load() if topics is None else topics
    with _admin(bootstrap) as admin:
        missing = [topic for topic in declared.values() if topic.name not in _partition_counts(admin, declared)]
        changes = _create(admin, missing)
        return changes + [change for topic in declared.values() for change in _configure(admin, topic)]


def check(bootstrap: str, topics: Mapping[str, Topic] | None = None) -> list[str]:
    """Return every difference between the declarations and the cluster as a sentence; empty when there is none."""
    declared = load() if topics is None else topics
    with _admin(bootstrap) as admin:
        counts = _partition_counts(admin, declared)
        configs = {name: _actual_config(admin, topic) for name, topic in declared.items() if name in counts}
    return [
        sentence
        for name, topic in declared.items()
        for sentence in differences(topic, counts.get(name), configs.get(name, {}))
    ]


def topic_id(bootstrap: str, topic: str) -> str:
    """Return the hex digits of the id that the cluster gave a topic when it was made; another of the same name differs.

    Raises kafka-python's KafkaError when nobody answers or there is no such topic.
    """
    with _admin(bootstrap) as admin:
        (found,) = admin.describe_topics([topic])
    if found["error_code"]:
        raise for_code(found["error_code"])
    return UUID(str(found["topic_id"])).hex


@contextmanager
def _admin(bootstrap: str) -> Iterator[KafkaAdminClient]:
    admin = KafkaAdminClient(bootstrap_servers=bootstrap.split(","), bootstrap_timeout_ms=BOOTSTRAP_TIMEOUT_MS)
    try:
        yield admin
    finally:
        admin.close()


def _partition_counts(admin: KafkaAdminClient, names: Collection[str]) -> dict[str, int]:
    described = admin.describe_topics(list(names)) if names else []
    return {found["name"]: len(found["partitions"]) for found in described if found["error_code"] == 0}


def _create(admin: KafkaAdminClient, topics: list[Topic]) -> list[Change]:
    if topics:
        # The broker's default replication factor: one on a laptop, what the cluster's operator set elsewhere.
        wanted = {topic.name: {"num_partitions": topic.partitions, "configs": topic.config} for topic in topics}
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
