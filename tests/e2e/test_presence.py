"""That there is something withheld does not show: not in what arrives, not in how long it is, not in how often."""

import json

import pytest

from tests.support.providers import SAID, Providers
from tests.support.tree import ROOT

pytestmark = pytest.mark.asyncio(loop_scope="package")

TELLING = ("domestic_violence", "substance_use", "hiv", "mental_health")


async def test_what_is_withheld_of_violence_or_substance_use_leaves_no_trace_in_what_arrives(town: Providers) -> None:
    outreach, shelter = town.outreach, town.shelter
    examples = ROOT / "schemas/examples/categories"
    telling = {name: json.loads((examples / f"{name}.json").read_text()) for name in TELLING}
    worlds = []
    for segments in (SAID, SAID | telling):
        client = await outreach.client()
        await outreach.grant(shelter, client, "identity")
        made = await outreach.refer(shelter, client, segments=segments)
        await shelter.told(client, "referral.requested")
        await outreach.post("referrals", f"/referrals/{made}/segments", {"client_id": client, "segments": segments})
        await shelter.told(client, "referral.updated")
        heard = shelter.heard(client)
        read = await shelter.get("webhooks", f"/inbox/referrals/{made}")
        worlds.append((shape(heard), shape(read), [len(json.dumps(message)) for message in heard]))
        assert not any(name in str((heard, read)) for name in TELLING)
        own = str(await outreach.get("referrals", f"/referrals/{made}"))
        assert [name in own for name in TELLING] == [name in segments for name in TELLING], "its originator is told"
    assert worlds[0] == worlds[1]


async def test_a_referral_that_may_not_be_known_at_all_is_like_none(town: Providers) -> None:
    """Of a victim service provider without a release only the need arrives, under a reference of its own."""
    haven, shelter = town.haven, town.shelter
    client = await haven.client()
    body = {"members": [{"client_id": client, "relationship_to_hoh": 1}]}
    made = await haven.refer(shelter, client, **body)
    crossing = await haven.crossing(made)
    [message] = await shelter.told(crossing["reference"], "referral.requested")
    assert set(message["data"]["shared"]) == {"need"}
    for name in (client, made):
        assert shelter.requests(name) == []
        assert (await shelter.call("GET", "referrals", f"/referrals/{name}")).status_code == 404
        assert (await shelter.call("GET", "webhooks", f"/inbox/referrals/{name}")).status_code == 404


def shape(said: object) -> object:
    """What was said, without what differs between any two referrals: ids, times, names."""
    if isinstance(said, dict):
        return {key: shape(value) for key, value in said.items()}
    if isinstance(said, list):
        return [shape(each) for each in said]
    return type(said).__name__
