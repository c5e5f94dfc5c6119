"""Agreements in use on a whole stack: one party leaves, a successor takes over, one party relies on another."""

from typing import Any

import pytest

from tests.support.governance import Caller
from tests.support.providers import PURPOSE, Provider, Providers, consent, found_community
from tests.support.receiver import receiving
from tests.support.stack import StackProcess
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.asyncio(loop_scope="package")
CANARY = "Canary-Magdalena"


async def withheld(referrer: Provider, referral_id: str) -> dict[str, str]:
    """What stayed behind of a referral of which nothing crossed, once that was decided."""

    async def found() -> dict[str, str] | None:
        crossing = (await referrer.get("referrals", f"/referrals/{referral_id}"))["crossing"]
        decided = crossing and crossing[0]["verdict"] == "not_sent" and crossing[0]["withheld"]
        return crossing[0]["withheld"] if decided else None

    return await wait_until_async(found, what="a decision that sends nothing")


async def approved(agreement_id: str, *parties: Provider) -> dict[str, Any]:
    """Let these approve, and return the agreement after the last."""
    answers = [await each.post("governance", f"/agreements/{agreement_id}/approvals", wait=20) for each in parties]
    last: dict[str, Any] = answers[-1]
    return last


def proposal(town: Providers, *parties: Provider, **term: Any) -> dict[str, Any]:
    terms = {"from": [town.outreach.id, town.haven.id], "to": [town.shelter.id], "purposes": [PURPOSE], **term}
    return {"title": "Next", "parties": [party.id for party in parties], "terms": [terms]}


async def test_leaving_stops_the_next_referral_and_what_was_decided_before(running_stack: StackProcess) -> None:
    async with receiving() as receiver:
        town = await found_community(running_stack, receiver)
        outreach, shelter = town.outreach, town.shelter
        client = await outreach.client()
        await outreach.grant(shelter, client, "identity")
        await outreach.refer(shelter, client)
        await shelter.told(CANARY, "referral.requested")
        assert CANARY in str(await shelter.get("webhooks", "/inbox"))
        path = f"/agreements/{town.agreement}"
        left = await shelter.call("POST", "governance", f"{path}/departure", wait=15)
        assert left.status_code == 200, left.text
        assert (left.json()["status"], left.json()["in_force"]) == ("active", [outreach.id, town.haven.id])
        assert CANARY not in str(await shelter.get("webhooks", "/inbox")), "the custodian gives no key any more"
        received = len(shelter.desk.received)
        reasons = await withheld(outreach, await outreach.refer(shelter, client))
        assert set(reasons.values()) == {"no-agreement"}
        assert len(shelter.desk.received) == received
        rows = await outreach.get("audit", f"/clients/{client}/disclosures")
        assert CANARY not in str(rows)
        assert [row["categories"] for row in rows["items"]] == [["identity", "need"]], "what crossed stays told"


async def test_a_successor_by_a_share_of_the_votes_drops_a_category(running_stack: StackProcess) -> None:
    async with receiving() as receiver:
        town = await found_community(running_stack, receiver)
        outreach, shelter, haven = town.outreach, town.shelter, town.haven
        client = await outreach.client()
        await outreach.grant(shelter, client, "identity", "household")
        body = proposal(town, outreach, shelter, haven, categories=["household"], deidentified=True)
        body |= {
            "supersedes": town.agreement,
            "activation": {"rule": "share", "share": 0.6, "must_include": [shelter.id]},
        }
        successor = await outreach.post("governance", "/agreements", body)
        assert (await approved(successor["id"], outreach, haven))["status"] == "draft", "without who must be among them"
        decided = await approved(successor["id"], shelter)
        assert (decided["status"], decided["version"]) == ("active", 2)
        await outreach.refer(shelter, client)
        (told,) = await shelter.told("household_size", "referral.requested")
        assert told["data"]["shared"].keys() == {"household", "need"}
        assert CANARY not in str(told)

        async def superseded() -> bool:
            return bool((await outreach.get("governance", f"/agreements/{town.agreement}"))["status"] == "superseded")

        await wait_until_async(superseded, what="the end of the old agreement")


async def test_who_did_not_approve_neither_discloses_nor_receives(running_stack: StackProcess) -> None:
    async with receiving() as receiver:
        town = await found_community(running_stack, receiver)
        outreach, shelter, haven = town.outreach, town.shelter, town.haven
        body = proposal(town, outreach, shelter, haven, deidentified=True)
        body |= {"supersedes": town.agreement, "activation": {"rule": "share", "share": 0.6}}
        successor = await outreach.post("governance", "/agreements", body)
        assert (await approved(successor["id"], outreach, shelter))["in_force"] == [outreach.id, shelter.id]
        reasons = await withheld(haven, await haven.refer(shelter, await haven.client(), segments={}))
        assert reasons == {"need": "no-agreement"}
        assert (await approved(successor["id"], haven))["in_force"] == [outreach.id, shelter.id, haven.id]
        crossing = await haven.crossing(await haven.refer(shelter, await haven.client(), segments={}))
        assert crossing["categories"] == ["need"]


async def test_what_another_party_attested_follows_by_itself(running_stack: StackProcess) -> None:
    async with receiving() as receiver:
        town = await found_community(running_stack, receiver)
        outreach, shelter, other = town.outreach, town.shelter, town.stranger
        system = f"index-{outreach.id}"
        admin = Caller(running_stack, **running_stack.admin)
        shared = {"id": system, "organizations": [outreach.id, other.id]}
        assert admin.post("/identifier-systems", shared).status_code == 201
        person = {"identifiers": [{"system": system, "value": "7"}]}
        client = (await outreach.post("consent", "/clients", person))["client_id"]
        assert (await other.post("consent", "/clients", person))["client_id"] == client
        terms = {"from": [outreach.id], "categories": ["identity"], "reliance": "any_party"}
        agreement = await outreach.post("governance", "/agreements", proposal(town, outreach, shelter, other, **terms))
        await approved(agreement["id"], outreach, shelter, other)
        await outreach.refer(shelter, client)
        await shelter.desk.wait()
        assert not shelter.heard(CANARY)
        attested = await other.post("consent", "/consents", consent(shelter.id, client, attested=True))
        (told,) = await shelter.told(CANARY, "referral.updated")
        (basis,) = told["data"]["consent"]
        assert (basis["id"], basis["discloser"], basis["recorded_by"]) == (attested["id"], outreach.id, other.id)
