"""Bad input is refused with a problem+json that names the field, and another organization's object is not there."""

from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.providers import Provider, Providers, consent, referral

pytestmark = pytest.mark.asyncio(loop_scope="package")

NOBODY = "nobody-at-all"
UNKNOWN_CLIENT = "0" * 32


@dataclass(frozen=True)
class Refusal:
    """What is changed of a good body, and the answer: status, problem type and field."""

    what: str
    changes: dict[str, Any]
    answer: tuple[int, str, str]


CONSENTS = [
    Refusal("unknown organization", {"to": [NOBODY]}, (422, "unknown-organization", "to.0")),
    Refusal("unknown category", {"categories": ["fingerprints"]}, (422, "invalid-body", "categories.0")),
    Refusal("unknown purpose", {"purposes": ["marketing"]}, (422, "invalid-body", "purposes.0")),
    Refusal("for nobody", {"to": []}, (422, "invalid-body", "to")),
    Refusal("of nothing", {"categories": []}, (422, "invalid-body", "categories")),
    Refusal("for no purpose", {"purposes": []}, (422, "invalid-body", "purposes")),
    Refusal("expired", {"expires_at": "2020-01-01T00:00:00Z"}, (422, "invalid-body", "expires_at")),
    Refusal("unknown field", {"everything": True}, (422, "invalid-body", "everything")),
    Refusal("too large", {"categories": ["identity"] * 10_000}, (413, "body-too-large", "")),
    Refusal("unknown client", {"client_id": UNKNOWN_CLIENT}, (404, "not-found", "")),
]

REFERRALS = [
    Refusal("unknown organization", {"to": {"organization": NOBODY}}, (422, "unknown-organization", "to.organization")),
    Refusal(
        "unknown project of one's own", {"publisher_project": NOBODY}, (422, "unknown-project", "publisher_project")
    ),
    Refusal(
        "unknown category", {"segments": {"fingerprints": {}}}, (422, "invalid-body", "members.0.segments.fingerprints")
    ),
    Refusal("unknown purpose", {"purpose": "marketing"}, (422, "invalid-body", "purpose")),
    Refusal("unknown contact", {"call_back": NOBODY}, (422, "unknown-contact", "call_back")),
    Refusal("too late", {"respond_by": "2020-01-01T00:00:00Z"}, (422, "invalid-body", "respond_by")),
    Refusal("no member", {"members": []}, (422, "invalid-body", "members")),
    Refusal("too large", {"segments": {"notes": {"text": "x" * 70_000}}}, (413, "body-too-large", "")),
]


@pytest.mark.parametrize("refusal", CONSENTS, ids=lambda refusal: refusal.what)
async def test_a_consent_that_cannot_be(town: Providers, refusal: Refusal) -> None:
    client = refusal.changes.get("client_id") or await town.outreach.client()
    body = consent(town.shelter.id, client) | refusal.changes
    await _is_refused(town.outreach, "consent", "/consents", body, refusal.answer)


@pytest.mark.parametrize("refusal", REFERRALS, ids=lambda refusal: refusal.what)
async def test_a_referral_that_cannot_be(town: Providers, refusal: Refusal) -> None:
    body = referral(town.shelter.id, await town.outreach.client(), **refusal.changes)
    await _is_refused(town.outreach, "referrals", "/referrals", body, refusal.answer)


async def test_a_project_that_the_recipient_does_not_have(town: Providers) -> None:
    to = {"organization": town.shelter.id, "project": NOBODY}
    body = referral(town.shelter.id, await town.outreach.client(), to=to)
    await _is_refused(town.outreach, "referrals", "/referrals", body, (422, "unknown-project", "to.project"))


async def test_a_client_that_the_caller_has_not_registered(town: Providers) -> None:
    client = await town.shelter.client()
    expected = (404, "client-not-registered", "members.0.client_id")
    await _is_refused(town.outreach, "referrals", "/referrals", referral(town.shelter.id, client), expected)
    await _is_refused(town.outreach, "consent", "/consents", consent(town.shelter.id, client), (404, "not-found", ""))
    stop = {"requested_by": "client"}
    await _is_refused(town.outreach, "consent", f"/clients/{client}/revocation", stop, (404, "not-found", ""))


async def test_an_agreement_and_an_endpoint_that_cannot_be(town: Providers) -> None:
    term = {"from": [town.outreach.id], "to": [town.shelter.id], "purposes": ["marketing"], "deidentified": True}
    proposal = {"title": "Sharing", "parties": [town.outreach.id, town.shelter.id], "terms": [term]}
    expected = (422, "invalid-body", "terms.0.purposes.0")
    await _is_refused(town.outreach, "governance", "/agreements", proposal, expected)
    proposal = {
        **proposal,
        "parties": [town.outreach.id, NOBODY],
        "terms": [{**term, "purposes": ["care-coordination"]}],
    }
    expected = (422, "unknown-organization", "parties.1")
    await _is_refused(town.outreach, "governance", "/agreements", proposal, expected)
    endpoint = {"url": "http://example.org/hook", "types": ["*"]}
    await _is_refused(town.outreach, "webhooks", "/endpoints", endpoint, (422, "invalid-body", "url"))
    endpoint = {"url": "https://example.org/hook", "types": ["referral.imagined"]}
    await _is_refused(town.outreach, "webhooks", "/endpoints", endpoint, (422, "invalid-body", "types.0"))


async def test_what_is_another_organizations_is_not_there(town: Providers) -> None:
    outreach, stranger = town.outreach, town.stranger
    client = await outreach.client()
    given = await outreach.grant(town.shelter, client, "identity")
    made = await outreach.refer(town.shelter, client)
    reads = [
        ("governance", f"/agreements/{town.agreement}"),
        ("consent", f"/consents/{given['id']}"),
        ("consent", f"/clients/{client}/revocation"),
        ("referrals", f"/referrals/{made}"),
        ("webhooks", f"/endpoints/{outreach.endpoint}"),
        ("webhooks", f"/endpoints/{outreach.endpoint}/deliveries"),
    ]
    for service, path in reads:
        answer = await stranger.call("GET", service, path)
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found"), path
    writes: list[tuple[str, str, object]] = [
        ("governance", f"/agreements/{town.agreement}/approvals", None),
        ("governance", f"/organizations/{outreach.id}/contacts", {"id": "spy", "name": "A spy"}),
        ("consent", f"/consents/{given['id']}/revocation", {"requested_by": "client"}),
        ("consent", f"/consents/{given['id']}/entered-in-error", {}),
        ("consent", f"/clients/{client}/registration", None),
        ("referrals", f"/referrals/{made}/transitions", {"to": "accepted"}),
        (
            "referrals",
            f"/referrals/{made}/segments",
            {"client_id": client, "segments": {"identity": {"first_name": "X"}}},
        ),
        ("webhooks", f"/endpoints/{outreach.endpoint}/test", None),
    ]
    for service, path, body in writes:
        await _is_refused(stranger, service, path, body, (404, "not-found", ""))


async def _is_refused(caller: Provider, service: str, path: str, body: object, expected: tuple[int, str, str]) -> None:
    answer = await caller.call("POST", service, path, body)
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    document = answer.json()
    field_named = ", ".join(error["field"] for error in document.get("errors", []))
    assert (answer.status_code, document["type"].removeprefix("/problems/"), field_named) == expected
