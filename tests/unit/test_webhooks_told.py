"""What webhooks keeps of a decision, whom it tells, and what it asks the custodian."""

import json
from datetime import UTC, datetime

import msgspec
import pytest

from services.consent.asked import BoxKey, Description, ReleaseAnswer, ReleaseRequest
from services.webhooks.custodian import Release, ReleasedKey, release_request
from services.webhooks.told import encode as write
from services.webhooks.told import told_by, wants
from tests.support.disclosing import Disclosing
from tests.support.outreach import CANARY, SEGMENTS, World


@pytest.fixture
def world() -> World:
    return World()


def test_what_is_stored_holds_no_reason_and_no_box_that_is_not_needed(world: World) -> None:
    world.log.grant(world.client, "outreach", "shelter", "identity")
    world.log.refer(world.client, "outreach", "shelter", SEGMENTS)
    told = world.last()
    assert (told.decision.withheld, told.decision.reasons) == ({}, ())
    assert CANARY.encode() not in write(told)
    assert told.id == f"0/{world.log.answers[-1].offset}/shelter"


def test_nobody_is_told_of_a_denial(world: World) -> None:
    stranger = Disclosing()
    stranger.organization("a")
    stranger.organization("b")
    stranger.refer(stranger.client(), "a", "b")
    assert list(told_by(0, stranger.answers[-1].value)) == []
    assert list(told_by(0, world.log.answers[0].value)) == []  # a genesis


def test_the_custodian_is_asked_without_a_box(world: World) -> None:
    told = world.permit()
    body = json.dumps(release_request(told, 3, "webhook"))
    for envelope in told.envelopes:
        assert all(box not in body for box in envelope.boxes.values())
        assert envelope.wrapped in body
    assert "Desk of" not in body


def test_both_sides_of_the_custodians_address_understand_each_other(world: World) -> None:
    told = world.permit()
    asked = ReleaseRequest.model_validate_json(json.dumps(release_request(told, 3, "inbox")))
    assert (asked.decision_id, asked.attempt, asked.categories) == (told.id, 3, told.decision.categories)
    assert [each.seq for each in asked.envelopes] == [each.seq for each in told.envelopes]
    answer = ReleaseAnswer(
        release_id="r",
        verdict="permit",
        known_as="referral",
        categories=["identity"],
        keys=[BoxKey(seq=1, category="identity", key="AA")],
        obligations=["42-cfr-2.32"],
        consents=[Description.model_validate(msgspec.to_builtins(each)) for each in told.decision.basis],
        reason=None,
    )
    release = msgspec.json.decode(answer.model_dump_json(), type=Release)
    assert (release.verdict, release.keys, release.lease_seconds) == ("permit", (ReleasedKey(1, "identity", "AA"),), 3)
    assert (release.obligations, release.consents) == (("42-cfr-2.32",), told.decision.basis)


def test_the_custodian_is_told_when_each_category_ends(world: World) -> None:
    world.log.grant(world.client, "outreach", "shelter", "identity", expires_at=datetime(2027, 1, 1, tzinfo=UTC))
    world.log.grant(world.client, "outreach", "shelter", "notes")
    world.log.refer(world.client, "outreach", "shelter", SEGMENTS)
    assert release_request(world.last(), 1, "webhook")["ends"] == {"identity": 1_798_761_600_000}


def test_keys_and_bodies_have_no_representation(world: World) -> None:
    told = world.permit()
    release = world.release(told)
    assert all(key.key not in repr(release) for key in release.keys)


def test_filters() -> None:
    assert wants(["*"], ("referral.requested",))
    assert wants(["referral.accepted"], ("referral.accepted", "referral.closed"))
    assert wants(["referral.closed"], ("referral.accepted", "referral.closed"))
    assert not wants(["referral.requested"], ("referral.accepted", "referral.closed"))
    assert not wants([], ("referral.requested",))
