"""A referral that nobody answers, and one that was made in error: what each side is told, on a running stack."""

from typing import Any

import pytest

from policy.reasons import OBLIGATIONS
from tests.support.governance import is_problem
from tests.support.providers import Provider, Providers, consent
from tests.support.stack import StackProcess
from tests.support.tables import direct
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.asyncio(loop_scope="package")
LATER = "2100-01-01T00:00:00Z"


async def permitted(town: Providers, **changes: Any) -> tuple[str, str]:
    """A referral that the shelter was told of by name; with the client's id."""
    client = await town.outreach.client()
    await town.outreach.grant(town.shelter, client, "identity")
    referral = await town.outreach.refer(town.shelter, client, **changes)
    await town.outreach.crossing(referral, "permit")
    return referral, client


async def held(town: Providers, referral: str) -> str:
    """A bed of the shelter's that is held for a referral."""
    unit = {"name": "Rooms", "project": "beds", "household_type": "with_children", "beds": 2}
    made = await town.shelter.post("shelter_beds", "/units", unit)
    asked = {"unit_id": made["id"], "minutes": 30, "referral_id": referral}
    return str((await town.outreach.post("shelter_beds", "/holds", asked))["id"])


async def wait_ended(town: Providers, hold: str, reason: str) -> None:
    async def ended() -> bool:
        found = await town.outreach.get("shelter_beds", f"/holds/{hold}")
        return (found["state"], found["reason"]) == ("released", reason)

    await wait_until_async(ended, what=f"the hold to end: {reason}")


async def accept(shelter: Provider, referral: str) -> Any:
    return await shelter.call("POST", "referrals", f"/referrals/{referral}/transitions", {"to": "accepted"})


async def test_a_referral_that_nobody_answers_is_asked_for_again_and_expires_for_all(
    town: Providers, running_stack: StackProcess
) -> None:
    referral, _ = await permitted(town, respond_by=LATER)
    hold = await held(town, referral)
    with direct(running_stack.database("referrals")) as connection:
        connection.execute("UPDATE referrals SET nudge_at = clock_timestamp() WHERE id = %s", (referral,))
        [nudge] = await town.shelter.told(referral, "referral.respond_soon")
        assert (nudge["data"]["status"], nudge["data"]["respond_by"]) == ("requested", "2100-01-01T00:00:00.000000Z")
        assert (nudge["data"]["shared"], nudge["data"]["obligations"]) == ({}, [])
        own = await town.outreach.get("referrals", f"/referrals/{referral}")
        assert (own["status"], own["nudged_at"]) == ("requested", nudge["timestamp"])
        connection.execute("UPDATE referrals SET respond_by = clock_timestamp() WHERE id = %s", (referral,))
    [expired] = await town.shelter.told(referral, "referral.expired")
    assert expired["data"]["status"] == "expired"
    [told] = await town.outreach.told(referral, "referral.expired")
    assert told == expired
    assert told in await _inbox(town.outreach, referral)
    own = await town.outreach.get("referrals", f"/referrals/{referral}")
    assert own["history"][1:] == [{"status": "expired", "at": expired["timestamp"], "by": "clock"}]
    is_problem(await accept(town.shelter, referral), 409, "invalid-transition", "to")
    await wait_ended(town, hold, "referral_expired")
    inbox = await _inbox(town.shelter, referral)
    assert [item["type"] for item in inbox] == ["referral.requested", "referral.respond_soon", "referral.expired"]
    assert [message["type"] for message in town.shelter.heard(referral)] == [item["type"] for item in inbox]
    assert [town.stranger.requests(referral), town.haven.requests(referral)] == [[], []]


async def test_copies_of_what_was_made_in_error_are_asked_back_from_whoever_may_be_told_so(town: Providers) -> None:
    outreach, shelter = town.outreach, town.shelter
    told, client = await permitted(town)
    hold = await held(town, told)
    assert (await accept(shelter, told)).status_code == 200
    lapsed, lapsed_client = await permitted(town)
    excluded, excluding_client = await permitted(town)
    stop = {"requested_by": "client"}
    await outreach.post("consent", f"/clients/{lapsed_client}/revocation", stop, wait=20)
    form = {"method": "verbal", "notice_version": "1", "signers": []}
    no = consent(shelter.id, excluding_client, decision="exclude", categories=[], purposes=[], form=form)
    await outreach.post("consent", "/consents", no | {"expires_at": None}, wait=10)
    for referral in (excluded, lapsed, told):
        await outreach.post("referrals", f"/referrals/{referral}/transitions", {"to": "entered_in_error"})
    [message] = await shelter.told(told, "referral.entered_in_error")
    [closed] = await shelter.told(lapsed, "referral.closed")
    for each, status in ((message, "entered_in_error"), (closed, "closed")):
        data = each["data"]
        assert (data["status"], data["obligations"]) == (status, ["withdraw-copy"])
        assert data["notices"] == [OBLIGATIONS["withdraw-copy"]]
    assert "entered_in_error" not in str(closed)
    await wait_ended(town, hold, "referral_entered_in_error")

    async def flagged() -> bool:
        lines = (await shelter.get("audit", f"/clients/{client}/disclosures"))["items"]
        return bool(lines) and all(line.get("referral_entered_in_error") for line in lines)

    await wait_until_async(flagged, what="the shelter's accounting to say so")
    crossing = await outreach.get("audit", f"/clients/{client}/disclosures")
    assert crossing["items"][0]["categories"] == ["identity", "need"], "nothing is rewritten"
    assert [each["type"] for each in shelter.heard(excluded)] == ["referral.requested"]
    assert [item["type"] for item in await _inbox(shelter, excluded)] == []


async def _inbox(provider: Provider, mark: str) -> list[dict[str, Any]]:
    """Every item of an inbox that holds `mark`."""
    found: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while (page := await provider.get("webhooks", "/inbox", limit=200, **after))["items"]:
        found += [item for item in page["items"] if mark in str(item)]
        after = {"after": page["next"]}
    return found
