"""What arrives when a consent ended: which it was, how it ended, and what to do about it."""

import json
from typing import Any

import pytest

from policy.reasons import OBLIGATIONS
from schemas.events import ConsentEnd, ConsentEnded
from services.webhooks.custodian import Release
from services.webhooks.render import render, to_json
from services.webhooks.told import Told
from tests.support.outreach import SEGMENTS, World


def ended(world: World, reason: ConsentEnd, version: int | None = None) -> Told:
    """Of a referral of which the name was told."""
    consent = world.log.grant(world.client, "outreach", "shelter", "identity")
    made = world.log.refer(world.client, "outreach", "shelter", SEGMENTS)
    world.log.say(made, "consent_ended", consent_ended=ConsentEnded(id=consent, reason=reason, version=version))
    return world.last()


def rendered(told: Told, release: Release) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(to_json(render(told, release)))
    return document


@pytest.mark.parametrize(("verdict", "status"), [("status", "requested"), ("closed", "closed")])
def test_the_end_of_a_consent_says_of_which_and_what_to_do(verdict: str, status: str) -> None:
    world = World()
    told = ended(world, "entered-in-error")
    consent = told.event.data.consent_ended
    assert consent is not None
    document = rendered(told, world.release(told, verdict=verdict))
    assert (document["type"], told.types) == ("referral.consent_ended", ("referral.consent_ended",))
    assert document["data"] == {
        "event_id": told.event.id,
        "verdict": "status",
        "publisher": "outreach",
        "purpose": "shelter-placement",
        "referral_id": told.event.data.referral.id,
        "referral_version": 2,
        "status": status,
        "shared": {},
        "consent_ended": {"id": consent.id, "reason": "entered-in-error"},
        "obligations": ["withdraw-copy"],
        "notices": [OBLIGATIONS["withdraw-copy"]],
    }


def test_of_a_consent_that_ended_in_time_it_says_the_version_and_nothing_is_asked_back() -> None:
    world = World()
    told = ended(world, "expired", 2)
    data = rendered(told, world.release(told))["data"]
    assert (data["consent_ended"]["reason"], data["consent_ended"]["version"]) == ("expired", 2)
    assert (data["obligations"], data["notices"]) == ([], [])
