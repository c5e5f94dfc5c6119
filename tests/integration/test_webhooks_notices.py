"""What an organization is told of what it made itself: its consents' ends, and that nobody answered a referral.

To itself, and to nobody else, whoever it names; at its endpoints, and in its inbox, which it may have alone.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from policy import canonical
from schemas.events import Party
from schemas.notices import ConsentExpiring, EndingConsent, ReferralUnanswered, UnansweredReferral
from services.kit.keys import random_id
from services.webhooks import notice_rows
from tests.conftest import Databases
from tests.support.hooked import Endpoint, Hooked, hooked
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.asyncio(loop_scope="module")
TYPE = "consent.expiring"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(postgres: Databases) -> AsyncIterator[Hooked]:
    async with hooked(postgres.create_database("webhooks")) as found, found.serving():
        yield found


async def endpoint(town: Hooked, organization: str, *types: str) -> Endpoint:
    desk = town.receiver.desk(random_id())
    made = (await town.call(organization, "POST", "/endpoints", {"url": desk.url, "types": types})).json()
    return Endpoint(organization, made["id"], made["secret"], desk)


def expiring(recorder: str, to: str) -> ConsentExpiring:
    data = EndingConsent(
        consent_id=random_id(),
        client_id=random_id(),
        recorder=recorder,
        to=(to,),
        expires_at="2026-12-22T12:00:00Z",
        days_left=14,
    )
    time = "2026-12-08T12:00:01Z"
    return ConsentExpiring(id=random_id(), source="/consent", time=time, specversion="1.0", data=data)


def unanswered(originator: Party) -> ReferralUnanswered:
    data = UnansweredReferral(referral_id=random_id(), originator=originator, purpose="shelter-placement", version=3)
    time = "2026-12-08T12:00:01.000000Z"
    return ReferralUnanswered(id=random_id(), source="/referrals", time=time, specversion="1.0", data=data)


async def say(town: Hooked, *events: ConsentExpiring | ReferralUnanswered) -> None:
    for event in events:
        topic = "consent-notices" if isinstance(event, ConsentExpiring) else "referral-notices"
        await town.producer.send_and_wait(topic, canonical.encode(event), b"key", partition=0)


async def inbox(town: Hooked, organization: str, count: int) -> list[dict[str, Any]]:
    """Read the inbox item by item, once it has so many."""

    async def enough() -> list[dict[str, Any]] | None:
        items: list[dict[str, Any]] = []
        after: dict[str, str] = {}
        while (page := await town.get(organization, "/inbox", limit=1, **after))["next"]:
            items += page["items"]
            after = {"after": page["next"]}
        return items if len(items) >= count else None

    return await wait_until_async(enough, what=f"{count} items in the inbox")


async def test_its_recorder_alone_is_told_once_though_the_record_comes_twice(town: Hooked) -> None:
    outreach, shelter = f"outreach-{random_id()}", f"shelter-{random_id()}"
    everything, named = await endpoint(town, outreach, "*"), await endpoint(town, outreach, TYPE)
    others = [await endpoint(town, shelter, "*", TYPE), await endpoint(town, outreach, "referral.requested")]
    event = expiring(outreach, shelter)
    for said in (event, event, expiring(outreach, shelter)):
        await town.producer.send_and_wait("consent-notices", canonical.encode(said), said.data.consent_id.encode())
    for each in (everything, named):
        [received] = [one for one in await each.desk.wait(2) if event.data.consent_id.encode() in one.raw]
        body = received.verified(each.secret)
        assert (body["type"], body["timestamp"]) == (TYPE, event.time)
        assert body["data"] == {
            "consent_id": event.data.consent_id,
            "client_id": event.data.client_id,
            "to": [shelter],
            "expires_at": "2026-12-22T12:00:00Z",
            "days_left": 14,
        }
        await town.wait_states(each, "delivered", "delivered")
    for other in others:
        assert town.rows("SELECT id FROM deliveries WHERE endpoint_id = %s", other.id) == []


async def test_who_has_no_endpoint_reads_it_in_the_inbox_at_its_place_among_what_was_decided(town: Hooked) -> None:
    outreach, shelter = town.pair()
    made = town.referral((outreach, shelter))
    first, last = expiring(outreach, shelter), unanswered(Party(organization=outreach, project="street"))
    await say(town, first, first)
    await inbox(town, outreach, 1)
    town.disclosing.say(made, "accepted", publisher=shelter)
    await town.publish()
    await inbox(town, outreach, 2)
    await say(town, last, last)
    await inbox(town, outreach, 3)
    await say(town, expiring(outreach, shelter))
    items = await inbox(town, outreach, 4)
    assert [item["type"] for item in items] == [TYPE, "referral.accepted", "referral.expired", TYPE]
    assert items == (await town.get(outreach, "/inbox"))["items"]
    assert items[0]["data"]["consent_id"] == first.data.consent_id
    assert (items[2]["timestamp"], items[2]["data"]["publisher_project"]) == (last.time, "street")
    assert [item["type"] for item in (await town.get(shelter, "/inbox"))["items"]] == ["referral.requested"]


async def test_that_nobody_answered_is_told_to_the_originator_once_as_any_status_is(town: Hooked) -> None:
    outreach, shelter = town.pair()
    told, other = await town.endpoint(outreach), await town.endpoint(shelter)
    event = unanswered(Party(organization=outreach))
    await say(town, event, event, unanswered(Party(organization=outreach)))
    [received] = [one for one in await told.desk.wait(2) if event.data.referral_id.encode() in one.raw]
    body = received.verified(told.secret)
    assert body == {
        "type": "referral.expired",
        "timestamp": event.time,
        "data": {
            "event_id": event.id,
            "verdict": "status",
            "publisher": outreach,
            "purpose": "shelter-placement",
            "referral_id": event.data.referral_id,
            "referral_version": 3,
            "status": "expired",
            "shared": {},
            "obligations": [],
            "notices": [],
        },
    }
    await town.wait_states(told, "delivered", "delivered")
    assert body in await inbox(town, outreach, 2)
    assert town.rows("SELECT id FROM deliveries WHERE endpoint_id = %s", other.id) == []


async def test_it_is_there_while_the_custodian_is_away_and_what_comes_after_waits(town: Hooked) -> None:
    pair = town.pair()
    await say(town, expiring(pair[1], pair[0]))
    await inbox(town, pair[1], 1)
    town.referral(pair)
    await town.publish()
    await inbox(town, pair[1], 2)
    await say(town, unanswered(Party(organization=pair[1])))
    await inbox(town, pair[1], 3)
    town.custodian.down = True
    page = await town.get(pair[1], "/inbox")
    assert [item["type"] for item in page["items"]] == [TYPE]
    town.custodian.down = False
    page = await town.get(pair[1], "/inbox", after=page["next"])
    assert [item["type"] for item in page["items"]] == ["referral.requested", "referral.expired"]


async def test_it_stays_in_the_inbox_when_what_was_told_of_beds_is_forgotten(town: Hooked) -> None:
    outreach, shelter = town.pair()
    await say(town, expiring(outreach, shelter))
    items = await inbox(town, outreach, 1)
    town.do("UPDATE notices SET created_at = now() - %s - interval '1 minute'", notice_rows.KEPT_FOR)
    town.do("INSERT INTO notices (id, type, body, created_at) VALUES ('old', 'hold.placed', '', '2000-01-01')")
    gone = "SELECT count(*) FROM notices WHERE id = 'old'"
    await wait_until_async(lambda: town.rows(gone) == [(0,)], what="what is old to be forgotten")
    assert await inbox(town, outreach, 1) == items
