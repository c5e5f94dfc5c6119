"""A consent that ends, over the whole stack: who was told under it hears so, and withdraws its copy if it must."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from policy.reasons import OBLIGATIONS
from tests.support.providers import SAID, Provider, Providers, consent
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.asyncio(loop_scope="package")

WORD = "referral.consent_ended"


async def disclosed(outreach: Provider, shelter: Provider) -> tuple[str, str, str]:
    """A client, a referral and the consent under which it arrived with the name."""
    client = await outreach.client()
    given = str((await outreach.grant(shelter, client, "identity"))["id"])
    referral = await outreach.refer(shelter, client)
    await shelter.told(client, "referral.requested")
    return client, referral, given


async def enter_in_error(outreach: Provider, id_: str) -> None:
    receipt = await outreach.post("consent", f"/consents/{id_}/entered-in-error", {}, wait=20)
    assert receipt["state"] == "effective"


async def in_inbox(provider: Provider, mark: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while (page := await provider.get("webhooks", "/inbox", limit=200, **after))["next"]:
        found += [item for item in page["items"] if mark in json.dumps(item)]
        after = {"after": page["next"]}
    return found


async def test_who_was_told_hears_that_the_time_is_over_and_a_renewal_brings_it_again(town: Providers) -> None:
    outreach, shelter = town.outreach, town.shelter
    client = await outreach.client()
    ends = datetime.now(UTC) + timedelta(seconds=20)
    body = consent(shelter.id, client, expires_at=ends.isoformat())
    given = await outreach.post("consent", "/consents", body, wait=10)
    referral = await outreach.refer(shelter, client)
    await shelter.told(client, "referral.requested")
    [message] = await shelter.told(given["id"], WORD)
    data = message["data"]
    assert datetime.fromisoformat(message["timestamp"]) >= ends - timedelta(seconds=1)
    assert (data["referral_id"], data["status"], data["obligations"]) == (referral, "closed", [])
    assert data["consent_ended"] == {"id": given["id"], "reason": "expired", "version": 1}
    renewal = {"expires_at": (ends + timedelta(days=30)).isoformat(), "form": body["form"]}
    renewed = await outreach.post("consent", f"/consents/{given['id']}/renewal", renewal, wait=10)
    assert (renewed["version"], renewed["status"]) == (2, "active")
    [again] = await shelter.told(client, "referral.updated")
    assert again["data"]["shared"]["identity"] == SAID["identity"]
    assert [(one["id"], one["version"]) for one in again["data"]["consent"]] == [(given["id"], 2)]


async def flagged(reader: Provider, client: str, id_: str) -> None:
    """Wait until the accounting says of the one permit that it went out in error."""

    async def found() -> bool:
        lines = (await reader.get("audit", f"/clients/{client}/disclosures"))["items"]
        said = {line["verdict"]: [each["consent"] for each in line.get("entered_in_error", ())] for line in lines}
        return said.get("permit") == [id_] and not said.get("status")

    await wait_until_async(found, what="the accounting to be flagged")


async def test_what_went_out_under_a_consent_in_error_is_asked_back_and_nothing_more_goes(town: Providers) -> None:
    outreach, shelter = town.outreach, town.shelter
    client, referral, given = await disclosed(outreach, shelter)
    other, _, _ = await disclosed(outreach, shelter)
    await enter_in_error(outreach, given)

    [message] = await shelter.told(given, WORD)
    data = message["data"]
    assert (data["verdict"], data["referral_id"], data["status"]) == ("status", referral, "closed")
    assert data["consent_ended"] == {"id": given, "reason": "entered-in-error"}
    assert (data["obligations"], data["notices"]) == (["withdraw-copy"], [OBLIGATIONS["withdraw-copy"]])
    assert data["shared"] == {}
    assert "client_id" not in data

    assert await in_inbox(shelter, referral) == [message], "in the inbox the name has gone"
    assert (await shelter.call("GET", "webhooks", f"/inbox/referrals/{referral}")).status_code == 404
    crossing = await outreach.crossing(await outreach.refer(shelter, client))
    assert (crossing["categories"], crossing["withheld"]["identity"]) == (["need"], "entered-in-error")
    assert len(shelter.heard(client)) == 1, "what had arrived before, and nothing since"
    for reader in (outreach, shelter):
        await flagged(reader, client, given)
        lines = (await reader.get("audit", f"/clients/{other}/disclosures"))["items"]
        assert lines
        assert all("entered_in_error" not in line for line in lines)
    assert shelter.heard(other, WORD) == outreach.heard(given) == town.stranger.heard(given) == []
