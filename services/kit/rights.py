"""Who may do what on Kafka: it follows from the declarations of the topics, and nothing else is allowed."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Final, Literal

import yaml
from msgspec import Struct

from services.kit.topics import Topic

OPERATOR: Final = "topics"
"""The user as whom `threshold topics` makes the topics; it can't read or write a record, or delete a topic."""
HEADING: Final = """\
# Written by `threshold topics acls --write`: who may do what, and nothing else is allowed (deny by default).
# A service is a user of its own name. Read and write imply describe; an idempotent producer needs nothing more than
# write. Nobody may delete a topic or a record.
"""

Kind = Literal["topic", "group"]
Operation = Literal["alter_configs", "create", "describe", "describe_configs", "read", "write"]


class Right(Struct, frozen=True, order=True):
    """One operation that one user may do on one topic or consumer group."""

    user: str
    kind: Kind
    name: str
    operation: Operation

    def __str__(self) -> str:
        return f"{self.user} may {self.operation} the {self.kind} {self.name}"


def group_of(service: str, topic: str) -> str:
    """Return the consumer group in which the processes of a service share a topic."""
    return f"{service}.{topic}"


def rights(topics: Mapping[str, Topic]) -> list[Right]:
    """Return every right that somebody has, sorted."""
    found = {right for topic in topics.values() for right in _of_topic(topic)}
    return sorted(found)


def of_user(user: str, topics: Mapping[str, Topic]) -> list[Right]:
    """Return what one user may do."""
    return [right for right in rights(topics) if right.user == user]


def as_yaml(all_rights: Iterable[Right]) -> str:
    """Return the text of deploy/kafka/acls.yaml."""
    by_user = {
        user: [
            {kind: name, "operations": [right.operation for right in same]}
            for (kind, name), same in groupby(of_one, key=lambda right: (right.kind, right.name))
        ]
        for user, of_one in groupby(all_rights, key=lambda right: right.user)
    }
    return HEADING + yaml.safe_dump(by_user, default_flow_style=None, sort_keys=False, width=120)


def _of_topic(topic: Topic) -> Iterable[Right]:
    for service in topic.writers:
        yield Right(service, "topic", topic.name, "write")
    for service in topic.readers:
        yield Right(service, "topic", topic.name, "read")
    for service in topic.groups:
        yield Right(service, "group", group_of(service, topic.name), "read")
    for service in {*topic.writers, *topic.readers}:
        yield Right(service, "topic", topic.name, "describe_configs")  # at start it looks whether they are as declared
    for operation in ("create", "describe", "alter_configs"):
        yield Right(OPERATOR, "topic", topic.name, operation)
