"""Who may do what on Kafka is what schemas/topics says, in deploy/kafka/acls.yaml too, and is as little as can be."""

import pytest
import yaml

from services.cli.topics import ACLS
from services.kit import topics
from services.kit.rights import OPERATOR, Right, as_yaml, of_user, rights

DECLARED = topics.load()


def test_the_file_for_people_and_other_tools_is_what_is_declared() -> None:
    assert ACLS.read_text(encoding="utf-8") == as_yaml(rights(DECLARED)), "run `threshold topics acls --write`"


def test_the_file_says_every_right_and_no_other() -> None:
    said = {
        Right(user, kind, entry[kind], operation)
        for user, entries in yaml.safe_load(ACLS.read_text(encoding="utf-8")).items()
        for entry in entries
        for kind in ("topic", "group")
        if kind in entry
        for operation in entry["operations"]
    }
    assert said == set(rights(DECLARED))


def test_writing_is_for_writers_and_reading_for_readers() -> None:
    for operation, who in (("write", "writers"), ("read", "readers")):
        allowed = {
            (right.name, right.user)
            for right in rights(DECLARED)
            if right.kind == "topic" and right.operation == operation
        }
        assert allowed == {(name, user) for name, topic in DECLARED.items() for user in getattr(topic, who)}


def test_who_makes_topics_reads_and_writes_no_record_and_nobody_deletes() -> None:
    assert {right.operation for right in of_user(OPERATOR, DECLARED)} == {"create", "describe", "alter_configs"}
    assert {right.operation for right in rights(DECLARED) if right.user != OPERATOR} == {
        "describe_configs",
        "read",
        "write",
    }


@pytest.mark.parametrize("topic", DECLARED.values(), ids=lambda topic: topic.name)
def test_only_readers_share_a_topic_in_a_group(topic: topics.Topic) -> None:
    assert set(topic.groups) <= set(topic.readers)
