"""A webhooks service that lies to the custodian: it gains what the client permits at that moment, and nothing more."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from policy import base64url
from schemas.records import ReferralRequested
from services.kit.keys import random_id
from services.kit.sealing import BoxKey, open_box
from tests.support.intruder import Intruder, intruding
from tests.support.providers import PURPOSE, SAID, Providers
from tests.support.stack import StackProcess
from tests.support.tables import direct

pytestmark = pytest.mark.asyncio(loop_scope="package")


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def webhooks(running_stack: StackProcess) -> AsyncIterator[Intruder]:
    async with intruding(running_stack, "webhooks") as intruder:
        yield intruder


async def referred(webhooks: Intruder, town: Providers, *permitted: str) -> ReferralRequested:
    """The event of a referral as it stands on the log, more than webhooks itself may read; what is permitted of it."""
    client = await town.outreach.client()
    if permitted:
        await town.outreach.grant(town.shelter, client, *permitted)
    await town.outreach.refer(town.shelter, client)
    event: ReferralRequested = await webhooks.newest("referral.requested", client)
    return event


def asked(event: ReferralRequested, **changes: Any) -> dict[str, Any]:
    """What webhooks would ask if the boundary had permitted everything to the referral's recipient."""
    data = event.data
    told = {"organization": data.recipients[0].organization}
    wrapped = [
        {name: getattr(one, name) for name in ("seq", "suite", "key_id", "wrapped")} | {"categories": sorted(one.boxes)}
        for one in data.sealed
    ]
    return {
        "decision_id": f"0/{2**40}/{told['organization']}",
        "attempt": 1,
        "channel": "webhook",
        "event_type": "referral.requested",
        "client_id": data.client_id,
        "referral_id": data.referral.id,
        "originator": {"organization": data.referral.originator.organization},
        "publisher": {"organization": data.publisher.organization},
        "purpose": data.purpose,
        "recipients": [told | {"reference": data.recipients[0].reference}],
        "recipient": told,
        "told": told,
        "verdict": "permit",
        "known_as": "referral",
        "status": "requested",
        "categories": sorted({category for one in data.sealed for category in one.boxes}),
        "envelopes": wrapped,
    } | changes


async def released(webhooks: Intruder, said: dict[str, Any]) -> dict[str, Any]:
    status, answer = await webhooks.asks("consent", "POST", "/releases", said)
    assert status == 200, answer
    given: dict[str, Any] = answer
    assert {key["category"] for key in given["keys"]} == set(given["categories"])
    return given


async def test_saying_that_the_boundary_said_yes_opens_only_what_the_client_permits_now(
    webhooks: Intruder, town: Providers, running_stack: StackProcess
) -> None:
    """There is no such decision; the custodian looks at nothing but its own tables and the control records."""
    unknown = await released(webhooks, asked(await referred(webhooks, town)))
    assert (unknown["verdict"], unknown["categories"]) == ("deidentified", ["need"])
    event = await referred(webhooks, town, "identity")
    lie = asked(event)
    given = await released(webhooks, lie)
    assert (given["verdict"], given["categories"]) == ("permit", ["identity", "need"])
    [key] = [each for each in given["keys"] if each["category"] == "identity"]
    place: dict[str, Any] = {
        "client_id": event.data.client_id,
        "referral_id": event.data.referral.id,
        "seq": key["seq"],
    }
    box = event.data.sealed[0].boxes["identity"]
    opened = open_box(box, BoxKey(base64url.decode(key["key"])), category="identity", **place)
    assert opened == SAID["identity"], "what it can do: send elsewhere what this recipient may have"
    with direct(running_stack.database("consent")) as connection:
        rows = connection.execute(
            "SELECT count(*) FROM releases WHERE decision_id = %s AND client_id = %s",
            [lie["decision_id"], event.data.client_id],
        )
        assert rows.fetchone() == (1,), "how it shows: releases of a decision that is not on the log"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"purpose": "care-coordination"}, "no-agreement"),
        ({"recipient": "stranger", "told": "stranger"}, "other-circumstances"),
        ({"recipient": "stranger", "told": "stranger", "recipients": "stranger"}, "no-agreement"),
        ({"told": "stranger"}, "other-circumstances"),
        ({"referral_id": "another"}, "does-not-open"),
        ({"originator": "haven", "publisher": "haven"}, "no-consent"),
        ({"categories": ["domestic_violence", "notes"]}, "no-term"),
    ],
)
async def test_it_opens_nothing_for_another_recipient_purpose_referral_or_category(
    webhooks: Intruder, town: Providers, changes: dict[str, Any], reason: str
) -> None:
    event = await referred(webhooks, town, "identity")
    await town.shelter.told(event.data.client_id, "referral.requested")

    def said(name: str, value: Any) -> Any:
        party = {"organization": getattr(town, value).id} if hasattr(town, str(value)) else value
        return [party] if name == "recipients" else party

    lie = asked(event, **{name: said(name, value) for name, value in changes.items()})
    given = await released(webhooks, lie)
    assert (given["verdict"], given["keys"], given["reason"]) == ("withheld", [], reason)


async def test_it_opens_no_box_of_another_client_by_naming_one_who_permits(webhooks: Intruder, town: Providers) -> None:
    silent, open_ = await referred(webhooks, town), await referred(webhooks, town, "identity", "household", "health")
    swapped = asked(open_, envelopes=asked(silent)["envelopes"])
    given = await released(webhooks, swapped)
    assert (given["verdict"], given["keys"], given["reason"]) == ("withheld", [], "does-not-open")
    nobody = await released(webhooks, asked(open_, client_id=random_id()))
    assert (nobody["verdict"], nobody["reason"]) == ("withheld", "unknown-client")


async def test_it_opens_nothing_any_more_after_a_revocation_at_any_desk(webhooks: Intruder, town: Providers) -> None:
    event = await referred(webhooks, town, "identity")
    assert (await released(webhooks, asked(event)))["verdict"] == "permit"
    stop = {"scope": "all", "requested_by": "client"}
    await town.shelter.call("POST", "consent", f"/clients/{event.data.client_id}/revocation", stop)
    given = await released(webhooks, asked(event))
    assert (given["verdict"], given["keys"], given["reason"]) == ("withheld", [], "revoked")


async def test_what_it_could_do_is_deny_what_it_has_sent(webhooks: Intruder, town: Providers) -> None:
    """A receipt believes its settlements: of a lying sender it may say `effective`, and nothing in doubt, too soon."""
    event = await referred(webhooks, town, "identity")
    await town.shelter.told(event.data.client_id, "referral.requested")
    given = await released(webhooks, asked(event))
    settled = {"settlements": [{"release_id": given["release_id"], "state": "not_sent"}]}
    assert (await webhooks.asks("consent", "POST", "/releases/settlements", settled))[0] == 204
    stop = {"scope": "all", "requested_by": "client"}
    path = f"/clients/{event.data.client_id}/revocation"
    receipt = (await town.outreach.call("POST", "consent", path, stop, wait=10)).json()
    assert (receipt["state"], receipt["in_doubt"]) == ("effective", 0)


async def test_it_may_ask_the_custodian_and_nobody_else_anything(webhooks: Intruder, town: Providers) -> None:
    client = await town.outreach.client()
    key = f"/clients/{client}/public-key?organization={town.outreach.id}&recipient={town.shelter.id}&purpose={PURPOSE}"
    for service, path in (
        ("consent", key),
        ("consent", "/control-position"),
        ("governance", "/identifier-systems/local"),
        ("governance", "/confidential-projects"),
    ):
        assert (await webhooks.asks(service, "GET", path))[0] == 403, path
    for service, path in (("audit", "/decisions"), ("referrals", "/referrals"), ("consent", "/consents")):
        assert (await webhooks.asks(service, "GET", path))[0] == 401, "an assertion is no organization's token"
