"""A mother and her two children, each by its own consent: what a shelter hears, reads and is shown, day by day."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.kit.keys import random_id
from tests.support.governance import Caller, is_problem
from tests.support.providers import SAID, Provider, Providers, consent
from tests.support.stack import StackProcess
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.asyncio(loop_scope="package")

SIGNED = (datetime.now(UTC) - timedelta(days=3)).date().isoformat()
FAMILY = {"mother": "Canary-Ines", "daughter": "Canary-Luz", "son": "Canary-Mateo"}
RELATIONSHIPS = {"mother": 1, "daughter": 2, "son": 2}


async def family(outreach: Provider) -> dict[str, str]:
    return {name: await outreach.client() for name in FAMILY}


async def agree(outreach: Provider, shelter: Provider, client_id: str, *roles: str) -> dict[str, Any]:
    """Record a permission that these have signed."""
    form = {"method": "written", "notice_version": "1", "signers": [{"role": role, "on": SIGNED} for role in roles]}
    made: dict[str, Any] = await outreach.post(
        "consent", "/consents", consent(shelter.id, client_id, form=form), wait=10
    )
    return made


async def refer(outreach: Provider, shelter: Provider, clients: dict[str, str]) -> str:
    members = [
        {
            "client_id": client_id,
            "relationship_to_hoh": RELATIONSHIPS[name],
            "segments": {"identity": {"first_name": FAMILY[name]}},
        }
        for name, client_id in clients.items()
    ]
    need = {"household_type": "with_children", "household_size": 3, "beds": 3}
    return await outreach.refer(shelter, clients["mother"], members=members, need=need)


async def story(shelter: Provider, referral: str) -> dict[str, Any]:
    found: dict[str, Any] = await shelter.get("webhooks", f"/inbox/referrals/{referral}")
    return found


def names(told: dict[str, Any]) -> list[str]:
    return [member["shared"]["identity"]["first_name"] for member in told["members"]]


async def in_inbox(shelter: Provider, clients: dict[str, str]) -> set[str]:
    """The members of whom the inbox says anything now."""
    page = await shelter.get("webhooks", "/inbox", limit=200)
    said = json.dumps(page["items"])
    while page["next"]:
        page = await shelter.get("webhooks", "/inbox", limit=200, after=page["next"])
        said += json.dumps(page["items"])
    return {name for name, client_id in clients.items() if client_id in said or FAMILY[name] in said}


async def accounted(shelter: Provider, client_id: str) -> str:
    """The accounting of what was disclosed about a client, once it says when the consent was signed."""

    async def found() -> str | None:
        answer = await shelter.call("GET", "audit", f"/clients/{client_id}/disclosures")
        return answer.text if SIGNED in answer.text else None

    return await wait_until_async(found, what="the accounting")


async def stop(outreach: Provider, client_id: str, requested_by: str) -> None:
    body = {"requested_by": requested_by}
    receipt = await outreach.post("consent", f"/clients/{client_id}/revocation", body, wait=20)
    assert receipt["state"] == "effective"


async def test_a_family_is_known_by_each_ones_own_word_and_no_longer_than_that(town: Providers) -> None:
    outreach, shelter = town.outreach, town.shelter
    clients = await family(outreach)
    await agree(outreach, shelter, clients["mother"], "client")
    signed = await agree(outreach, shelter, clients["daughter"], "parent", "client")
    referral = await refer(outreach, shelter, clients)
    for name in ("mother", "daughter"):
        await shelter.told(clients[name], "referral.requested")

    told = await story(shelter, referral)
    assert (names(told), told["head_of_household"]) == ([FAMILY["mother"], FAMILY["daughter"]], clients["mother"])
    assert told["members"][0]["shared"]["need"]["household_size"] == "3-4"
    described = told["members"][1]["consent"]
    assert [(one["id"], one["signed_on"]) for one in described] == [(signed["id"], SIGNED)]
    assert "parent" not in json.dumps(described), "when it was signed, not by whom"
    assert await in_inbox(shelter, clients) == {"mother", "daughter"}
    [message] = shelter.heard(clients["daughter"])
    assert message["data"]["consent"] == described
    assert "parent" not in await accounted(shelter, clients["daughter"])

    await stop(outreach, clients["daughter"], "guardian")
    assert names(await story(shelter, referral)) == [FAMILY["mother"]]
    assert await in_inbox(shelter, clients) == {"mother"}
    assert len(shelter.heard(clients["daughter"])) == 1

    assert shelter.requests(clients["son"]) == shelter.requests(FAMILY["son"]) == []
    await agree(outreach, shelter, clients["son"], "guardian")
    await shelter.told(clients["son"], "referral.updated")
    assert names(await story(shelter, referral)) == [FAMILY["mother"], FAMILY["son"]]
    assert await in_inbox(shelter, clients) == {"mother", "son"}

    await stop(outreach, clients["mother"], "client")
    told = await story(shelter, referral)
    assert names(told) == [FAMILY["son"]]
    assert not {"head_of_household", "reference"} & told.keys()
    assert await in_inbox(shelter, clients) == {"son"}
    await stop(outreach, clients["son"], "guardian")
    for asking in (shelter, outreach, town.stranger):
        is_problem(await asking.call("GET", "webhooks", f"/inbox/referrals/{referral}"), 404, "not-found")
    assert await in_inbox(shelter, clients) == set()


async def test_a_child_known_by_name_does_not_lead_to_a_mother_who_is_not(town: Providers) -> None:
    outreach, shelter = town.outreach, town.shelter
    clients = await family(outreach)
    await agree(outreach, shelter, clients["daughter"], "parent")
    referral = await refer(outreach, shelter, clients)
    reference = (await outreach.crossing(referral))["reference"]
    [message] = await shelter.told(reference, "referral.requested")
    assert message["data"]["verdict"] == "deidentified"
    await shelter.told(clients["daughter"], "referral.requested")
    told = await story(shelter, referral)
    assert (names(told), told["status"]) == ([FAMILY["daughter"]], "requested")
    moved = await shelter.call("POST", "referrals", f"/referrals/{reference}/transitions", {"to": "accepted"})
    assert moved.status_code == 200, moved.text
    await outreach.told(referral, "referral.accepted")
    assert await story(shelter, referral) == told, "what was done under the one name shows nothing under the other"
    for text in (reference, clients["mother"], FAMILY["mother"], "need", "with_children"):
        assert text not in json.dumps(told)
    is_problem(await shelter.call("GET", "webhooks", f"/inbox/referrals/{reference}"), 404, "not-found")

    await agree(outreach, shelter, clients["mother"], "client")
    await shelter.told(clients["mother"], "referral.updated")
    told = await story(shelter, referral)
    assert (names(told), told["reference"]) == ([FAMILY["mother"], FAMILY["daughter"]], reference)
    assert told["status"] == "accepted"


async def test_two_organizations_with_one_system_know_one_person_as_one_client(
    running_stack: StackProcess, town: Providers
) -> None:
    admin, system = Caller(running_stack, **running_stack.admin), f"hmis-{random_id()[:6]}"
    outreach, shelter, haven = town.outreach, town.shelter, town.haven
    with_survivors = {"id": system, "organizations": [outreach.id, haven.id]}
    is_problem(admin.post("/identifier-systems", with_survivors), 422, "victim-service-provider")
    shared = {"id": system, "organizations": [outreach.id, shelter.id]}
    assert admin.post("/identifier-systems", shared).status_code == 201
    persons = [{"identifiers": [{"system": system, "value": random_id()}]} for _ in range(5)]
    for person in persons:
        both = (outreach, shelter) * 4
        registered = await asyncio.gather(*(one.post("consent", "/clients", person) for one in both))
        assert len({answer["client_id"] for answer in registered}) == 1, "at once, and of both"
    for stranger in (haven, town.stranger):
        refused = await stranger.call("POST", "consent", "/clients", persons[0])
        is_problem(refused, 422, "invalid-body", "identifiers.0.system")


async def test_a_victim_service_provider_has_a_fresh_client_for_each_referral(town: Providers) -> None:
    haven, shelter = town.haven, town.shelter
    local = {"identifiers": [{"system": "local", "value": random_id()}]}
    first = (await haven.post("consent", "/clients", local))["client_id"]
    without_name: dict[str, Any] = {"segments": {}}
    await haven.refer(shelter, first, **without_name)
    body = {
        "members": [{"client_id": first, "relationship_to_hoh": 1}],
        "to": {"organization": shelter.id},
        "service": "ES",
        "purpose": "shelter-placement",
        "need": {"household_type": "without_children", "household_size": 1, "beds": 1},
        "call_back": "desk",
    }
    again = await haven.call("POST", "referrals", "/referrals", body)
    is_problem(again, 409, "client-already-used", "members.0.client_id")
    fresh = await haven.client()
    assert fresh != first
    await haven.refer(shelter, fresh, **without_name)


async def test_a_person_who_carries_a_code_is_referred_by_the_other_desk_as_the_same_client(town: Providers) -> None:
    outreach, shelter, stranger = town.outreach, town.shelter, town.stranger
    client = await outreach.client()
    await outreach.grant(shelter, client, "identity")
    code = (await outreach.post("consent", f"/clients/{client}/code"))["code"]
    assert await stranger.post("consent", "/clients/code-links", {"code": code}) == {"client_id": client}
    assert (await stranger.get("consent", "/consents", client_id=client))["items"] == []
    is_problem(await stranger.call("GET", "audit", f"/clients/{client}/disclosures"), 404, "not-found")
    made = await outreach.refer(shelter, client, segments={"identity": SAID["identity"]})
    await shelter.told(client, "referral.requested")
    stopped = await stranger.post("consent", f"/clients/{client}/revocation", {"requested_by": "client"}, wait=20)
    assert (stopped["state"], stopped["withheld"]) == ("effective", 0)

    is_problem(await shelter.call("GET", "webhooks", f"/inbox/referrals/{made}"), 404, "not-found")
    refused = await town.haven.call("POST", "consent", "/clients/code-links", {"code": code})
    is_problem(refused, 422, "victim-service-provider")
