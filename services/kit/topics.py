"""The topics as declared in `schemas/topics`, and how a cluster's differ from them."""

from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Annotated, Literal

import yaml
from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from services.kit.logs import OperatorError

DECLARATIONS = files("schemas") / "topics"
FOR_EVER = -1
REPLACED_WITHIN_MS = 60 * 60 * 1000
"""After so long what a compacted topic has a newer value of may be cleaned away; Kafka would take a week."""

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")]
_CLOSED = ConfigDict(extra="forbid", str_min_length=1)


class TopicsDifferError(OperatorError):
    """The cluster's topics are not the declared ones; the message lists every difference, one sentence each."""

    def __init__(self, differences: list[str]) -> None:
        super().__init__(" ".join([*differences, "Run `threshold topics apply`, and `threshold topics check`."]))
        self.differences = differences


@dataclass(frozen=True, config=_CLOSED)
class Schema:
    """What a topic's values are: their format, and the types of record a reader may meet."""

    format: Literal["cloudevent", "disclosure", "delivery"]
    types: tuple[str, ...]


@dataclass(frozen=True, config=_CLOSED)
class Topic:
    """One topic as declared: who may write it, who reads it, and how the cluster must keep it.

    `groups` are the readers whose processes share its partitions between them, as a consumer group.
    """

    name: Name
    description: str
    key: str
    partitions: Annotated[int, Field(ge=1, le=1000)]
    cleanup: Literal["delete", "compact"]
    retention: Literal["for-ever"]
    max_message_bytes: Annotated[int, Field(ge=1024)]
    writers: tuple[Name, ...]
    readers: tuple[Name, ...]
    groups: tuple[Name, ...]
    schema: Schema
    min_insync_replicas: Annotated[int, Field(ge=1)] | None = None  # the cluster's own, where none is given

    @property
    def config(self) -> dict[str, str]:
        """The cluster-side settings that this declaration requires, as Kafka names and spells them."""
        least = {} if self.min_insync_replicas is None else {"min.insync.replicas": str(self.min_insync_replicas)}
        return least | {
            "cleanup.policy": self.cleanup,
            "retention.ms": str(FOR_EVER),
            "retention.bytes": str(FOR_EVER),
            "max.message.bytes": str(self.max_message_bytes),
            # `at` of a decision is the log's time: a writer's clock must have no say in it.
            "message.timestamp.type": "LogAppendTime",
            **({"max.compaction.lag.ms": str(REPLACED_WITHIN_MS)} if self.cleanup == "compact" else {}),
        }


def load(folder: Traversable = DECLARATIONS) -> dict[str, Topic]:
    """Read every `<name>.yaml` of `folder`; return name -> Topic, sorted by name.

    Raises pydantic.ValidationError where a declaration is not well-formed, ValueError where a file declares a topic of
    another name.
    """
    sources = sorted((source for source in folder.iterdir() if source.name.endswith(".yaml")), key=lambda s: s.name)
    topics = [_parsed(source) for source in sources]
    return {topic.name: topic for topic in topics}


def differences(topic: Topic, partitions: int | None, config: Mapping[str, str]) -> list[str]:
    """Return how a topic on a cluster differs, one sentence each; without `partitions` it is not there."""
    if partitions is None:
        return [f"The topic {topic.name} does not exist."]
    sentences = [
        f"The topic {topic.name} has {key}={config[key]} instead of {value}."
        for key, value in topic.config.items()
        if config[key] != value
    ]
    if partitions != topic.partitions:
        sentences.insert(0, f"The topic {topic.name} has {partitions} partitions instead of {topic.partitions}.")
    return sentences


def _parsed(source: Traversable) -> Topic:
    topic = TypeAdapter(Topic).validate_python(yaml.safe_load(source.read_text(encoding="utf-8")))
    if source.name != f"{topic.name}.yaml":
        raise ValueError(f"{source.name} declares the topic {topic.name}: a topic's file bears its name.")
    return topic
