"""The topics as declared in `schemas/topics`: read them, create them on a cluster, find what differs there."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass as plain_dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Annotated, Literal

import yaml
from kafka.admin import ConfigResource, KafkaAdminClient
from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

DECLARATIONS = files("schemas") / "topics"
BOOTSTRAP_TIMEOUT_MS = 10_000
FOR_EVER = -1

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")]
_CLOSED = ConfigDict(extra="forbid", str_min_length=1)


class TopicsDifferError(Exception):
    """The cluster's topics are not the declared ones; the message lists every difference, one sentence each."""

    def __init__(self, differences: list[str]) -> None:
        super().__init__(" ".join(differences))
        self.differences = differences


@dataclass(frozen=True, config=_CLOSED)
class Schema:
    """What a topic's values are: their format, and the types of record a reader may meet."""

    format: Literal["cloudevent", "disclosure", "delivery"]
    types: tuple[str, ...]


@dataclass(frozen=True, config=_CLOSED)
class Topic:
    """One topic as declared: who may write it, who reads it, and how the cluster must keep it."""

    name: Name
    description: str
    key: str
    partitions: Annotated[int, Field(ge=1, le=1000)]
    cleanup: Literal["delete", "compact"]
    retention: Literal["for-ever"]
    max_message_bytes: Annotated[int, Field(ge=1024)]
    writers: tuple[Name, ...]
    readers: tuple[Name, ...]
    schema: Schema

    @property
    def config(self) -> dict[str, str]:
        """The cluster-side settings that this declaration requires, as Kafka names and spells them."""
        return {
            "cleanup.policy": self.cleanup,
            "retention.ms": str(FOR_EVER),
            "retention.bytes": str(FOR_EVER),
            "max.message.bytes": str(self.max_message_bytes),
            # `at` of a decision is the log's time: a writer's clock must have no say in it.
            "message.timestamp.type": "LogAppendTime",
        }


@plain_dataclass(frozen=True)
class Change:
    """One thing that `apply` did to the cluster."""

    topic: str
    what: str

    def __str__(self) -> str:
        return f"{self.topic}: {self.what}"


def load(folder: Traversable = DECLARATIONS) -> dict[str, Topic]:
    """Read every `<name>.yaml` of `folder`; return name -> Topic, sorted by name.

    Raises pydantic.ValidationError where a declaration is not well-formed, ValueError where a file declares a topic of
    another name.
    """
    sources = sorted((source for source in folder.iterdir() if source.name.endswith(".yaml")), key=lambda s: s.name)
    topics = [_parsed(source) for source in sources]
    return {topic.name: topic for topic in topics}


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
        return [sentence for topic in declared.values() for sentence in _differences(admin, topic, counts)]


def require(bootstrap: str, service: str, topics: Mapping[str, Topic] | None = None) -> None:
    """Raise TopicsDifferError unless every topic that `service` reads or writes is as declared: call before serving."""
    declared = load() if topics is None else topics
    mine = {name: topic for name, topic in declared.items() if service in topic.writers + topic.readers}
    if differences := check(bootstrap, mine):
        raise TopicsDifferError(differences)


def _parsed(source: Traversable) -> Topic:
    topic = TypeAdapter(Topic).validate_python(yaml.safe_load(source.read_text(encoding="utf-8")))
    if source.name != f"{topic.name}.yaml":
        raise ValueError(f"{source.name} declares the topic {topic.name}: a topic's file bears its name.")
    return topic


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


def _differences(admin: KafkaAdminClient, topic: Topic, counts: Mapping[str, int]) -> list[str]:
    if topic.name not in counts:
        return [f"The topic {topic.name} does not exist."]
    actual = _actual_config(admin, topic)
    sentences = [
        f"The topic {topic.name} has {key}={actual[key]} instead of {value}."
        for key, value in topic.config.items()
        if actual[key] != value
    ]
    if (count := counts[topic.name]) != topic.partitions:
        sentences.insert(0, f"The topic {topic.name} has {count} partitions instead of {topic.partitions}.")
    return sentences


def _actual_config(admin: KafkaAdminClient, topic: Topic) -> dict[str, str]:
    resource = ConfigResource("TOPIC", topic.name, list(topic.config))
    described = admin.describe_configs([resource], config_filter="all")
    return {key: entry["value"] for key, entry in described["topic"][topic.name].items()}
