"""What arrives is a closed list for each verdict, and never more than both deciders let through."""

import json
from dataclasses import replace as replace_dataclass
from typing import Any

import pytest
from msgspec.structs import replace

from policy.base64url import encode
from policy.reasons import OBLIGATIONS
from schemas.events import Recipient
from services.kit.keys import generate_symmetric
from services.webhooks.custodian import Release, ReleasedKey
from services.webhooks.render import UnrenderableError, render, to_json
from services.webhooks.told import Told
from tests.support.disclosing import NEED, Made
from tests.support.outreach import CANARY, SEGMENTS, World

PERMIT_FIELDS = {
    "event_id",
    "verdict",
    "publisher",
    "publisher_project",
    "purpose",
    "referral_id",
    "reference",
    "referral_version",
    "status",
    "call_back",
    "client_id",
    "shared",
    "consent",
    "obligations",
    "notices",
}
STATUS_FIELDS = {
    "event_id",
    "verdict",
    "publisher",
    "purpose",
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
    assert set(document) == {"type", "timestamp", "data"}
    return document


def test_a_permit_says_all_that_was_decided(world: World) -> None:
    told = world.permit(occurred_at="2026-11-22T11:00:00Z")
    document = rendered(told, world.release(told))
    data = document["data"]
    assert (document["type"], document["timestamp"]) == ("referral.requested", "2026-11-22T12:00:00Z")
    assert set(data) == PERMIT_FIELDS | {"occurred_at"}
    assert data["shared"] == {"need": NEED, **SEGMENTS}
    assert (data["verdict"], data["publisher"], data["publisher_project"]) == ("permit", "outreach", "clinic")
    assert (data["client_id"], data["status"], data["referral_version"]) == (world.client, "requested", 1)
    assert data["call_back"] == {"name": "Desk of outreach", "phone": "555-0100"}
    assert data["reference"] == told.decision.reference
    (consent,) = data["consent"]
    assert set(consent) == {
        *("id", "version", "discloser", "recorded_by", "to", "categories", "purposes", "signed_on", "expires_at")
    }
    assert (consent["discloser"], consent["to"], consent["expires_at"]) == ("outreach", ["shelter"], None)
    assert consent["recorded_by"] == "outreach"


def test_obligations_come_with_their_words(world: World) -> None:
    told = world.permit()
    data = rendered(told, world.release(told))["data"]
    assert data["obligations"] == ["34-cfr-99.33", "42-cfr-2.32"]
    assert "42 CFR part 2 prohibits unauthorized use or disclosure of these records." in data["notices"]
    assert len(data["notices"]) == 2


def test_an_obligation_that_came_after_the_decision_comes_with_the_message(world: World) -> None:
    told = world.permit()
    data = rendered(told, world.release(told, "identity", obligations=("do-not-enter-in-hmis",)))["data"]
    assert data["obligations"] == ["42-cfr-2.32", "do-not-enter-in-hmis"]
    assert data["notices"] == [OBLIGATIONS[code] for code in data["obligations"]]


def test_the_consents_are_those_that_it_rests_on_now(world: World) -> None:
    told = world.permit()
    (decided,) = told.decision.basis
    new = replace(decided, id="newer", categories=("identity",), expires_at="2026-12-24T00:00:00Z")
    (consent,) = rendered(told, world.release(told, "need", "identity", consents=(new,)))["data"]["consent"]
    assert (consent["id"], consent["categories"], consent["expires_at"]) == ("newer", ["identity"], new.expires_at)
    assert decided.id not in str(consent)


def test_what_no_consent_or_no_words_go_with_renders_nothing(world: World) -> None:
    told = world.permit()
    (decided,) = told.decision.basis
    lesser = replace(decided, categories=("identity", "notes"))
    for more in ({"consents": ()}, {"consents": (lesser,)}, {"obligations": ("an-unknown-one",)}):
        with pytest.raises(UnrenderableError):
            render(told, world.release(told, **more))


def test_the_custodian_cuts_categories_and_what_hangs_on_them(world: World) -> None:
    told = world.permit()
    data = rendered(told, world.release(told, "need", "identity"))["data"]
    assert set(data["shared"]) == {"need", "identity"}
    assert data["consent"][0]["categories"] == ["identity"]
    assert data["obligations"] == ["42-cfr-2.32"]


def test_a_permit_cut_to_the_need_arrives_deidentified(world: World) -> None:
    told = world.permit()
    release = world.release(told, "need", verdict="deidentified", known_as="reference")
    document = rendered(told, release)
    assert set(document["data"]) == {"verdict", "publisher", "purpose", "reference", "shared", "call_back"}
    assert document["data"]["shared"] == {"need": NEED}
    text = json.dumps(document)
    for known in (CANARY, world.client, told.event.id, told.event.data.referral.id, "clinic"):
        assert known not in text


def test_a_deidentified_referral_is_a_closed_list(world: World) -> None:
    world.log.refer(world.client, "outreach", "shelter", SEGMENTS, project="clinic", occurred_at="2026-11-22T11:00:00Z")
    told = world.last()
    assert (told.verdict, [list(each.boxes) for each in told.envelopes]) == ("deidentified", [["need"]])
    document = rendered(told, world.release(told))
    assert document == {
        "type": "referral.requested",
        "timestamp": "2026-11-22T12:00:00Z",
        "data": {
            "verdict": "deidentified",
            "publisher": "outreach",
            "purpose": "shelter-placement",
            "reference": told.decision.reference,
            "shared": {"need": NEED},
            "call_back": {"name": "Desk of outreach", "phone": "555-0100"},
        },
    }


@pytest.mark.parametrize(
    ("time", "shown"),
    [
        ("2026-11-22T12:00:59.999999Z", "2026-11-22T12:00:00Z"),
        ("2026-11-22T12:00:00Z", "2026-11-22T12:00:00Z"),
        ("2026-11-22T14:31:07+02:00", "2026-11-22T12:31:00Z"),
    ],
)
def test_what_only_a_reference_names_tells_its_time_to_the_minute(world: World, time: str, shown: str) -> None:
    made = world.log.refer(world.client, "outreach", "shelter", SEGMENTS)
    deidentified = world.last()
    world.log.say(made, "cancelled", occurred_at=time)
    for told in (deidentified, world.last()):
        document = rendered(at(told, time), world.release(told))
        assert (document["timestamp"], "occurred_at" in document["data"]) == (shown, False)
        with pytest.raises(UnrenderableError):
            render(at(told, "some time last November"), world.release(told))


def test_a_deidentified_referral_cannot_be_matched_with_a_permit_for_another_of_the_household(world: World) -> None:
    head = world.log.refer(world.client, "outreach", "shelter", SEGMENTS, project="clinic")
    of_head = at(world.last(), "2026-11-22T12:00:31.123456Z")
    head_told = rendered(of_head, world.release(of_head))
    world.client = world.log.client()
    world.log.grant(world.client, "outreach", "shelter", "identity")
    member = replace_dataclass(head, client_id=world.client, recipient=Recipient(organization="shelter"), version=0)
    world.log.say(member, "requested", {"identity": SEGMENTS["identity"]})
    of_member = at(world.last(), "2026-11-22T12:00:31.123456Z")
    member_told = rendered(of_member, world.release(of_member))
    assert (head_told["data"]["verdict"], member_told["data"]["verdict"]) == ("deidentified", "permit")
    assert member_told["timestamp"] == "2026-11-22T12:00:31.123456Z"
    assert member_told["data"]["referral_id"] == head.id
    world.log.say(head, "cancelled")
    of_status = world.last()
    status_told = rendered(of_status, world.release(of_status))
    said_of_every_referral = {"outreach", "shelter-placement", "Desk of outreach", "555-0100", "referral.requested"}
    for told in (head_told, status_told):
        assert values(told) & values(member_told) <= said_of_every_referral


def at(told: Told, time: str) -> Told:
    return replace(told, event=replace(told.event, time=time))


def values(document: Any) -> set[str]:
    """Every text in a message, wherever it stands; its numbers are counts of few, as are most referrals'."""
    if isinstance(document, dict):
        return {value for each in document.values() for value in values(each)}
    if isinstance(document, list):
        return {value for each in document for value in values(each)}
    return {document} if isinstance(document, str) else set()


def accepted(world: World, made: Made) -> Told:
    world.log.say(made, "accepted", publisher="shelter")
    return world.last()


def test_a_status_tells_the_originator_by_referral_id(world: World) -> None:
    world.log.grant(world.client, "outreach", "shelter", "identity")
    made = world.log.refer(world.client, "outreach", "shelter", SEGMENTS)
    told = accepted(world, made)
    assert (told.party.organization, told.concerned.organization) == ("outreach", "shelter")
    document = rendered(told, world.release(told))
    assert document["type"] == "referral.accepted"
    assert set(document["data"]) == STATUS_FIELDS | {"referral_id"}
    assert (document["data"]["referral_id"], document["data"]["status"]) == (made.id, "accepted")
    assert document["data"]["shared"] == {}


def test_a_status_names_the_referral_as_its_recipient_knows_it(world: World) -> None:
    made = world.log.refer(world.client, "outreach", "shelter", SEGMENTS)
    world.log.say(made, "cancelled")
    told = world.last()
    document = rendered(told, world.release(told))
    assert set(document["data"]) == STATUS_FIELDS | {"reference"}
    assert document["data"]["reference"] == made.recipient.reference
    assert made.id not in json.dumps(document)


def test_the_lesser_of_both_deciders_knowledge_names_it(world: World) -> None:
    world.log.grant(world.client, "outreach", "shelter", "identity")
    made = world.log.refer(world.client, "outreach", "shelter", SEGMENTS)
    world.log.say(made, "cancelled")
    told = world.last()
    assert told.decision.known_as == "referral"
    data = rendered(told, world.release(told, known_as="reference"))["data"]
    assert (data.get("referral_id"), data["reference"]) == (None, made.recipient.reference)


def test_closed_says_no_more_than_closed(world: World) -> None:
    world.log.grant(world.client, "outreach", "shelter", "identity")
    made = world.log.refer(world.client, "outreach", "shelter", SEGMENTS)
    world.log.say(made, "cancelled", occurred_at="2026-11-22T11:00:00Z")
    told = world.last()
    document = rendered(told, world.release(told, verdict="closed"))
    assert (document["type"], document["data"]["status"]) == ("referral.closed", "closed")
    assert set(document["data"]) == STATUS_FIELDS | {"referral_id"}
    assert "cancelled" not in json.dumps(document)


@pytest.mark.parametrize(
    ("decided", "answered"),
    [
        ("deidentified", "permit"),
        ("deidentified", "status"),
        ("permit", "status"),
        ("permit", "closed"),
        ("status", "permit"),
        ("status", "deidentified"),
        ("status", "withheld"),
        ("permit", "withheld"),
    ],
)
def test_an_answer_wider_than_decided_renders_nothing(world: World, decided: str, answered: str) -> None:
    if decided != "deidentified":
        world.log.grant(world.client, "outreach", "shelter", "identity")
    made = world.log.refer(world.client, "outreach", "shelter", SEGMENTS)
    told = accepted(world, made) if decided == "status" else world.last()
    assert told.verdict == decided
    with pytest.raises(UnrenderableError):
        render(told, world.release(told, verdict=answered))


def test_a_category_that_was_not_decided_is_never_opened(world: World) -> None:
    world.log.grant(world.client, "outreach", "shelter", "identity")
    world.log.refer(world.client, "outreach", "shelter", SEGMENTS)
    told = world.last()
    assert {category for each in told.envelopes for category in each.boxes} == {"identity", "need"}
    release = replace(world.release(told), categories=("identity", "need", "notes"))
    with pytest.raises(UnrenderableError):
        render(told, release)


def test_a_wrong_or_missing_key_renders_nothing(world: World) -> None:
    told = world.permit()
    release = world.release(told)
    wrong = tuple(ReleasedKey(key.seq, key.category, encode(generate_symmetric())) for key in release.keys)
    for keys in (wrong, (), (ReleasedKey(1, "identity", "not base64url!"),)):
        with pytest.raises(UnrenderableError) as failure:
            render(told, replace(release, keys=keys))
        assert failure.value.__suppress_context__
