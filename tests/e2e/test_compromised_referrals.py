"""A referrals service that lies: it speaks in any organization's name, and opens nothing that was sealed before."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from msgspec.structs import replace

from policy import canonical
from schemas.categories import segment
from schemas.events import Party, ReferralData
from schemas.records import ReferralRequested
from services.kit.keys import random_id
from services.kit.sealing import SealContext, seal
from tests.support.intruder import Intruder, intruding
from tests.support.providers import NEED_AS_TOLD, PURPOSE, Providers
from tests.support.stack import StackProcess
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.asyncio(loop_scope="package")


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def referrals(running_stack: StackProcess) -> AsyncIterator[Intruder]:
    async with intruding(running_stack, "referrals") as intruder:
        yield intruder


async def referred(referrals: Intruder, town: Providers) -> ReferralRequested:
    """A referral whose client lets the shelter know the name, as it stands on the log."""
    client = await town.outreach.client()
    await town.outreach.grant(town.shelter, client, "identity")
    await town.outreach.refer(town.shelter, client)
    await town.shelter.told(client, "referral.requested")
    event: ReferralRequested = await referrals.newest("referral.requested", client)
    return event


def again(event: ReferralRequested, **changes: Any) -> ReferralRequested:
    """The same sealed boxes in an event of a new referral."""
    data = event.data
    recipients = (replace(data.recipients[0], reference=random_id()),)
    referral = replace(data.referral, id=random_id(), originator=changes.get("publisher", data.publisher))
    said: dict[str, Any] = {"referral": referral, "recipients": recipients} | changes
    return replace(event, id=random_id(), data=replace(data, **said))


async def published(referrals: Intruder, event: ReferralRequested) -> tuple[str, list[str]]:
    """Put it on the log; the beginning of its decisions' ids, and the boundary's verdicts."""
    partition, offset = await referrals.writes("client-events", event.data.client_id, canonical.encode(event))
    answer = await referrals.answer(partition, offset)
    return f"{partition}/{offset}/", [decision.verdict for decision in answer.decisions]


async def delivered(referrals: Intruder, client: str, decision: str) -> tuple[str, str | None]:
    """The state and the reason of what became of a decision."""

    async def found() -> tuple[str, str | None] | None:
        said = [json.loads(one.value or b"") for one in await referrals.records("deliveries", client)]
        states = [(one["state"], one.get("reason")) for one in said if one["decision_id"].startswith(decision)]
        return states[-1] if states else None

    return await wait_until_async(found, what="what became of it")


async def test_boxes_taken_from_the_log_open_in_no_other_referral(referrals: Intruder, town: Providers) -> None:
    """The boundary can't see inside: for it this is one more referral that the client permits."""
    event = await referred(referrals, town)
    decision, verdicts = await published(referrals, copied := again(event))
    assert verdicts == ["permit"]
    assert await delivered(referrals, event.data.client_id, decision) == ("withheld", "does-not-open")
    assert copied.data.referral.id not in str(town.shelter.heard(event.data.client_id))
    for to in (town.haven, town.stranger):
        elsewhere = again(event, recipients=(replace(event.data.recipients[0], organization=to.id),))
        assert (await published(referrals, elsewhere))[1] == ["deny"], "and for no other recipient it is permitted"
        assert to.heard(event.data.client_id) == []


async def test_another_originator_gives_the_boxes_to_nobody(referrals: Intruder, town: Providers) -> None:
    event = await referred(referrals, town)
    before = len(town.shelter.heard(event.data.client_id))
    stolen = again(event, publisher=Party(organization=town.haven.id))
    assert (await published(referrals, stolen))[1] == ["deidentified"], "a grant counts for who recorded it"
    wrong = replace(stolen.data, publisher=Party(organization=town.outreach.id))
    placed = await referrals.writes("client-events", wrong.client_id, canonical.encode(replace(stolen, data=wrong)))
    assert (await referrals.answer(*placed)).result in {"not-the-originator", "referral-changed"}
    assert len(town.shelter.heard(event.data.client_id)) == before


async def test_what_it_could_do_is_speak_in_an_organizations_name_to_whom_the_client_permits(
    referrals: Intruder, town: Providers
) -> None:
    """`referral.*` is not signed: what it seals itself, with the public key that it may ask for, arrives as theirs."""
    event = await referred(referrals, town)
    query = f"organization={town.outreach.id}&recipient={town.shelter.id}&purpose={PURPOSE}"
    path = f"/clients/{event.data.client_id}/public-key?{query}"
    status, key = await referrals.asks("consent", "GET", path)
    assert status == 200
    empty = again(event, sealed=())
    context = SealContext.of(key["log_id"], empty.data)
    said = {"need": segment("need", {**NEED_AS_TOLD}), "identity": segment("identity", {"first_name": "Invented"})}
    of_key = {name: key[name] for name in ("public_key", "key_id", "suite")}
    forged: ReferralData = replace(empty.data, sealed=(seal(said, context, seq=1, **of_key),))  # type: ignore[arg-type]
    assert (await published(referrals, replace(empty, data=forged)))[1] == ["permit"]
    [message] = await town.shelter.told("Invented", "referral.requested")
    assert message["data"]["publisher"] == town.outreach.id
    shown = await town.outreach.call("GET", "referrals", f"/referrals/{forged.referral.id}")
    assert shown.status_code == 404, "how it shows: the originator's accounting has a referral that it never made"

    async def accounted() -> bool:
        rows = await town.outreach.call("GET", "audit", f"/clients/{event.data.client_id}/disclosures")
        return forged.referral.id in rows.text

    await wait_until_async(accounted, what="the accounting of what was said in its name")


async def test_it_may_not_ask_for_the_keys_of_boxes(referrals: Intruder) -> None:
    assert (await referrals.asks("consent", "POST", "/releases", {}))[0] == 403
    settled: dict[str, Any] = {"settlements": []}
    assert (await referrals.asks("consent", "POST", "/releases/settlements", settled))[0] == 403
    await asyncio.gather(*(refused(referrals, service) for service in ("audit", "webhooks", "shelter_beds")))


async def refused(referrals: Intruder, service: str) -> None:
    path = {"audit": "/decisions", "webhooks": "/inbox", "shelter_beds": "/holds"}[service]
    assert (await referrals.asks(service, "GET", path))[0] == 401
