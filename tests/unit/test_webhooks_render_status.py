"""What a recipient is told besides a status: by when to answer, and that its copy is to be withdrawn."""

import json
from typing import Any

import pytest

from policy.reasons import OBLIGATIONS
from services.webhooks.custodian import Release
from services.webhooks.render import render, to_json
from services.webhooks.told import Told
from tests.support.outreach import SEGMENTS, World

STATUS_FIELDS = {
    "event_id",
    "verdict",
    "publisher",
    "purpose",
    "referral_id",
    "referral_version",
    "status",
    "shared",
    "obligations",
    "notices",
}


@pytest.fixture
def world() -> World:
    return World()


def rendered(told: Told, release: Release) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(to_json(render(told, release)))
    return document


def test_who_is_asked_again_hears_by_when_to_answer_and_whose_permission_lapsed_does_not(world: World) -> None:
    world.log.grant(world.client, "outreach", "shelter", "identity")
    made = world.log.refer(world.client, "outreach", "shelter", SEGMENTS)
    world.log.say(made, "respond_soon", respond_by="2026-11-22T18:00:30.5Z")
    told = world.last()
    document = rendered(told, world.release(told))
    assert (document["type"], document["data"]["status"]) == ("referral.respond_soon", "requested")
    assert set(document["data"]) == STATUS_FIELDS | {"respond_by"}
    assert document["data"]["respond_by"] == "2026-11-22T18:00:30.5Z"
    by_reference = rendered(told, world.release(told, known_as="reference"))["data"]
    assert by_reference["respond_by"] == "2026-11-22T18:00:00Z", "to the minute, as all that a reference names"
    closed = rendered(told, world.release(told, verdict="closed"))
    assert (closed["type"], set(closed["data"])) == ("referral.closed", STATUS_FIELDS)


@pytest.mark.parametrize("verdict", ["status", "closed"])
def test_a_copy_of_what_was_entered_in_error_is_to_be_withdrawn(world: World, verdict: Any) -> None:
    world.log.grant(world.client, "outreach", "shelter", "identity")
    made = world.log.refer(world.client, "outreach", "shelter", SEGMENTS)
    world.log.say(made, "entered_in_error")
    told = world.last()
    document = rendered(told, world.release(told, verdict=verdict))
    word = "entered_in_error" if verdict == "status" else "closed"
    assert (document["type"], document["data"]["status"]) == (f"referral.{word}", word)
    assert set(document["data"]) == STATUS_FIELDS
    assert document["data"]["obligations"] == ["withdraw-copy"]
    assert document["data"]["notices"] == [OBLIGATIONS["withdraw-copy"]]


def test_no_other_status_obliges_to_anything(world: World) -> None:
    world.log.grant(world.client, "outreach", "shelter", "identity")
    made = world.log.refer(world.client, "outreach", "shelter", SEGMENTS)
    world.log.say(made, "cancelled")
    told = world.last()
    data = rendered(told, world.release(told))["data"]
    assert (data["obligations"], data["notices"]) == ([], [])
