"""A consent that ends, over the whole stack: who was told under it hears so, and withdraws its copy if it must."""

import json
from typing import Any

import pytest

from policy.reasons import OBLIGATIONS
from tests.support.providers import Provider, Providers

pytestmark = pytest.mark.asyncio(loop_scope="package")

WORD = "referral.consent_ended"


async def disclosed(outreach: Provider, shelter: Provider) -> tuple[str, str, str]:
    """A client, a referral and the consent under which it arrived with the name."""
    client = await outreach.client()
    consent = str((await outreach.grant(shelter, client, "identity"))["id"])
    referral = await outreach.refer(shelter, client)
    await shelter.told(client, "referral.requested")
    return client, referral, consent


async def enter_in_error(outreach: Provider, consent: str) -> None:
    receipt = await outreach.post("consent", f"/consents/{consent}/entered-in-error", {}, wait=20)
    assert receipt["state"] == "effective"


async def in_inbox(provider: Provider, mark: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while (page := await provider.get("webhooks", "/inbox", limit=200, **after))["next"]:
        found += [item for item in page["items"] if mark in json.dumps(item)]
        after = {"after": page["next"]}
    return found


async def test_what_went_out_under_a_consent_in_error_is_asked_back_and_nothing_more_goes(town: Providers) -> None:
    outreach, shelter = town.outreach, town.shelter
    client, referral, consent = await disclosed(outreach, shelter)
    other, _, _ = await disclosed(outreach, shelter)
    await enter_in_error(outreach, consent)

    [message] = await shelter.told(consent, WORD)
    data = message["data"]
    assert (data["verdict"], data["referral_id"], data["status"]) == ("status", referral, "closed")
    assert data["consent_ended"] == {"id": consent, "reason": "entered-in-error"}
    assert (data["obligations"], data["notices"]) == (["withdraw-copy"], [OBLIGATIONS["withdraw-copy"]])
    assert data["shared"] == {}
    assert "client_id" not in data

    assert await in_inbox(shelter, referral) == [message], "in the inbox the name has gone"
    assert (await shelter.call("GET", "webhooks", f"/inbox/referrals/{referral}")).status_code == 404
    crossing = await outreach.crossing(await outreach.refer(shelter, client))
    assert (crossing["categories"], crossing["withheld"]["identity"]) == (["need"], "entered-in-error")
    assert len(shelter.heard(client)) == 1, "what had arrived before, and nothing since"
    assert shelter.heard(other, WORD) == outreach.heard(consent) == town.stranger.heard(consent) == []
