"""The declarations of the topics: closed, complete, and as the design fixes them."""

from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import ValidationError

from schemas.records import Event
from services.kit import topics
from services.webhooks import notices

SERVICES = {"governance", "consent", "referrals", "shelter_beds", "boundary", "webhooks", "audit"}


def declaration(**changes: object) -> str:
    content = yaml.safe_load((topics.DECLARATIONS / "deliveries.yaml").read_text(encoding="utf-8"))
    return yaml.safe_dump(content | changes)


def test_the_topics_are_those_of_the_design() -> None:
    decided, others = (
        {"client-events", "disclosures", "deliveries"},
        {"bed-availability", "bed-holds", "consent-notices", "referral-notices"},
    )
    assert set(topics.load()) == decided | others


def test_a_decision_can_go_to_the_partition_of_its_event() -> None:
    declared = topics.load()
    assert declared["client-events"].partitions == declared["disclosures"].partitions == 12


def test_nothing_but_the_boundary_writes_disclosures() -> None:
    assert topics.load()["disclosures"].writers == ("boundary",)


@pytest.mark.parametrize("topic", topics.load().values(), ids=lambda topic: topic.name)
def test_every_topic_is_kept_for_ever_under_the_logs_own_time(topic: topics.Topic) -> None:
    assert topic.config["retention.ms"] == topic.config["retention.bytes"] == "-1"
    assert topic.config["message.timestamp.type"] == "LogAppendTime"
    assert set(topic.writers) | set(topic.readers) <= SERVICES
    assert topic.writers
    assert topic.readers


def test_what_was_replaced_does_not_stay_on_a_compacted_topic_for_days() -> None:
    lags = {name: topic.config.get("max.compaction.lag.ms") for name, topic in topics.load().items()}
    assert lags == {name: "3600000" if name == "bed-availability" else None for name in lags}


def test_client_events_names_every_type_that_may_stand_on_it() -> None:
    assert set(topics.load()["client-events"].schema.types) == tags(Event)


@pytest.mark.parametrize("topic", notices.TOPICS)
def test_a_notice_is_read_as_what_its_topic_declares(topic: str) -> None:
    assert set(topics.load()[topic].schema.types) == tags(notices.TOPICS[topic])


def tags(kinds: Any) -> set[str]:
    """The types of a struct, or of each of several."""
    return {str(kind.__struct_config__.tag) for kind in get_args(kinds) or (kinds,)}


@pytest.mark.parametrize(
    "changes",
    [
        {"retension": "for-ever"},
        {"retention": "7 days"},
        {"partitions": 0},
        {"cleanup": "compacted"},
        {"writers": "webhooks"},
        {"schema": {"format": "delivery"}},
        {"description": ""},
    ],
    ids=str,
)
def test_a_declaration_that_is_not_well_formed_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    (tmp_path / "deliveries.yaml").write_text(declaration(**changes))
    with pytest.raises(ValidationError):
        topics.load(tmp_path)


def test_a_topic_is_found_in_the_file_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(declaration())
    with pytest.raises(ValueError, match=r"other\.yaml declares the topic deliveries"):
        topics.load(tmp_path)
