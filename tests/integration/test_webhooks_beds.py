"""What is told of beds: signed like everything else, to those it concerns, and of each unit only the newest."""

from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio

from policy import canonical
from schemas import beds
from schemas.events import Party
from schemas.notices import ReferralUnanswered, UnansweredReferral
from services.kit.keys import random_id
from services.webhooks import alarms, notice_rows
from tests.conftest import Databases
from tests.contracts import bed_examples
from tests.support.hooked import Endpoint, Hooked, hooked
from tests.support.told_beds import Beds
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.asyncio(loop_scope="module")
UNIT, HOLD = "unit.availability", "hold.placed"
_UNANSWERED = ReferralUnanswered(
    id=random_id(),
    source="/referrals",
    time="2026-12-08T12:00:01.000000Z",
    specversion="1.0",
    data=UnansweredReferral(
        referral_id="a-referral", originator=Party(organization="outreach"), purpose="shelter-placement", version=2
    ),
)
_UNIT, _PLACED = bed_examples.made()[UNIT], bed_examples.made()[HOLD]
UNREADABLE = {
    "a type of nobody's": ("bed-holds", b'{"type":"hold.unheard-of"}'),
    "no value": ("bed-holds", None),
    "nested too deep": ("bed-holds", b'{"data":' * 7_000),
    "what is for another service to say": ("bed-holds", canonical.encode(_UNANSWERED)),
    "what is for another topic": ("bed-holds", _UNIT),
    "an id that no table takes": ("bed-availability", _UNIT.replace(b'"unit_id":"', b'"unit_id":"\\u0000')),
    "a party that no table takes": ("bed-holds", _PLACED.replace(b'"holder":"', b'"holder":"\\u0000')),
    "a second spelling": ("bed-availability", b" " + _UNIT),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(postgres: Databases) -> AsyncIterator[Hooked]:
    async with hooked(postgres.create_database("webhooks")) as found, found.serving():
        yield found


@pytest.fixture
def said(town: Hooked) -> Beds:
    return Beds(town)


async def test_a_units_numbers_arrive_signed_at_whoever_asked_for_them_by_name(town: Hooked, said: Beds) -> None:
    stranger, everything = await said.endpoint("far-away", UNIT), await said.endpoint("nearby", "*")
    event = await said.availability(1)
    (received,) = await stranger.desk.wait()
    body = received.verified(stranger.secret)
    assert (body["type"], body["timestamp"]) == (UNIT, event.time)
    assert msgspec.convert(body["data"], beds.Unit, strict=True) == event.data
    delivery = await town.delivery(stranger, "delivered")
    assert (delivery["type"], delivery["webhook_id"]) == (UNIT, received.webhook_id)
    assert [attempt["status_code"] for attempt in delivery["attempts"]] == [200]
    assert everything.desk.received == []
    assert town.rows("SELECT id FROM deliveries WHERE endpoint_id = %s", everything.id) == []


async def test_a_step_of_a_hold_is_told_once_to_its_two_organizations_and_to_no_third(town: Hooked, said: Beds) -> None:
    shelter, holder = await said.endpoint(said.shelter, "*"), await said.endpoint(said.holder, HOLD)
    third, other_type = await said.endpoint("far-away", "*", HOLD), await said.endpoint(said.holder, "hold.expired")
    first, *_ = await said.step(beds.HoldPlaced, ["b1", "b2", "b3"], expires_at="2026-11-26T04:00:00.000000Z")
    expected = {
        "hold_id": first.data.hold_id,
        "unit_id": said.unit_id,
        "bed_ids": ["b1", "b2", "b3"],
        "organization": said.shelter,
        "holder": said.holder,
        "expires_at": "2026-11-26T04:00:00.000000Z",
    }
    for endpoint in (shelter, holder):
        (received,) = await endpoint.desk.wait()
        assert received.verified(endpoint.secret)["data"] == expected
        assert received.body["type"] == HOLD
    await said.step(beds.HoldReleased, ["b1", "b2", "b3"], reason="refused")  # whatever came before it is there by now
    _, released = await shelter.desk.wait(2)
    assert (released.body["type"], released.data["reason"]) == ("hold.released", "refused")
    await town.wait_states(shelter, "delivered", "delivered")
    await town.wait_states(holder, "delivered")
    for endpoint in (third, other_type):
        assert town.rows("SELECT id FROM deliveries WHERE endpoint_id = %s", endpoint.id) == []


async def test_a_request_is_told_once_to_both_and_so_is_its_end(town: Hooked, said: Beds) -> None:
    shelter, holder = await said.endpoint(said.shelter, "*"), await said.endpoint(said.holder, "*")
    third, hold_id = await said.endpoint("far-away", "*"), random_id()
    event = await said.asked(beds.HoldRequested, hold_id, expires_at="2026-11-26T04:00:00.000000Z")
    expected = {
        "hold_id": hold_id,
        "unit_id": said.unit_id,
        "beds": 3,
        "organization": said.shelter,
        "holder": said.holder,
        "expires_at": "2026-11-26T04:00:00.000000Z",
    }
    for endpoint in (shelter, holder):
        (received,) = await endpoint.desk.wait()
        assert (received.body["type"], received.verified(endpoint.secret)["data"]) == ("hold.requested", expected)
    await said.write("bed-holds", said.unit_id, event)  # a relay may send it again
    await said.asked(beds.HoldReleased, hold_id, reason="refused", discreet=True)
    for endpoint in (shelter, holder):
        _, released = await endpoint.desk.wait(2)
        assert (released.body["type"], released.data["reason"]) == ("hold.released", "refused")
        await town.wait_states(endpoint, "delivered", "delivered")
    assert town.rows("SELECT id FROM deliveries WHERE endpoint_id = %s", third.id) == []


async def test_a_hold_of_ones_own_beds_is_told_once(town: Hooked, said: Beds) -> None:
    endpoint = await said.endpoint(said.shelter, "*")
    await said.step(beds.HoldPlaced, ["b1"], holder=said.shelter)
    await endpoint.desk.wait()
    await town.wait_states(endpoint, "delivered")


async def test_a_failure_is_tried_again_with_the_same_id_and_body(town: Hooked, said: Beds) -> None:
    endpoint = await said.endpoint(said.holder, HOLD)
    endpoint.desk.answers = [(500, {})]
    await said.step(beds.HoldPlaced, ["b1"])
    await town.delivery(endpoint, "pending")
    _hurry(town, endpoint)
    first, second = await endpoint.desk.wait(2)
    assert (first.webhook_id, first.body) == (second.webhook_id, second.body)
    assert second.verified(endpoint.secret)
    delivery = await town.delivery(endpoint, "delivered")
    assert [attempt["status_code"] for attempt in delivery["attempts"]] == [500, 200]
    again = await town.call(endpoint.organization, "POST", f"/deliveries/{delivery['id']}/replay")
    assert again.status_code == 202
    assert (await endpoint.desk.wait(3))[2].webhook_id == first.webhook_id


async def test_an_endpoint_that_is_behind_is_sent_the_newest_numbers_of_each_unit_alone(
    town: Hooked, said: Beds
) -> None:
    endpoint, other = await said.endpoint("far-away", UNIT), Beds(town)
    endpoint.desk.always = (500, {})
    await said.availability(1, available=3)
    await town.delivery(endpoint, "pending")
    await other.availability(1)
    await endpoint.desk.wait(2)
    await said.availability(2, available=2)
    await endpoint.desk.wait(3)
    await said.availability(3, available=1)
    await town.wait_states(endpoint, "not_sent", "pending", "not_sent", "pending")
    came = len(endpoint.desk.received)
    endpoint.desk.always = (200, {})
    _hurry(town, endpoint)
    received = (await endpoint.desk.wait(came + 2))[came:]
    assert sorted((each.data["unit_id"], each.data["version"]) for each in received) == sorted(
        [(said.unit_id, 3), (other.unit_id, 1)]
    )
    await town.wait_states(endpoint, "not_sent", "delivered", "not_sent", "delivered")


async def test_a_late_copy_and_a_replay_of_older_numbers_are_not_sent(town: Hooked, said: Beds) -> None:
    endpoint = await said.endpoint("far-away", UNIT)
    first = await said.availability(1)
    old = await town.delivery(endpoint, "delivered")
    await said.availability(2)
    await endpoint.desk.wait(2)
    await said.write("bed-availability", said.unit_id, first)  # the very same record once more
    await Beds(town).availability(3)
    await endpoint.desk.wait(3)
    await said.availability(1)  # another of an older version
    assert (await town.call("far-away", "POST", f"/deliveries/{old['id']}/replay")).status_code == 202
    await town.wait_states(endpoint, "not_sent", "delivered", "delivered", "not_sent")
    assert [each.data["version"] for each in endpoint.desk.received] == [1, 2, 3]


async def test_an_older_place_is_not_sent_though_nobody_was_told_the_newer(town: Hooked, said: Beds) -> None:
    """A unit was hidden while the only endpoint that had its place was disabled."""
    endpoint = await said.endpoint("far-away", UNIT)
    await said.availability(1)
    old = await town.delivery(endpoint, "delivered")
    town.do("UPDATE endpoints SET enabled = false")
    await said.availability(2, confidential=True)
    await said.wait_read()
    await town.call("far-away", "PATCH", f"/endpoints/{endpoint.id}", {"enabled": True})
    assert (await town.call("far-away", "POST", f"/deliveries/{old['id']}/replay")).status_code == 202
    await town.wait_states(endpoint, "not_sent")
    await said.availability(1)  # nor is a late copy's
    await town.wait_states(endpoint, "not_sent", "not_sent")
    await said.availability(3)
    assert [each.data["version"] for each in await endpoint.desk.wait(2)] == [1, 3]
    town.do("DELETE FROM unit_versions")  # as after the upgrade that began to keep them
    newest = await town.delivery(endpoint, "delivered")
    await town.call("far-away", "POST", f"/deliveries/{newest['id']}/replay")
    await town.wait_states(endpoint, "not_sent", "not_sent", "not_sent")


async def test_it_is_told_while_the_custodian_is_away_and_the_log_hears_of_releases_alone(
    town: Hooked, said: Beds
) -> None:
    pair = town.pair()
    said.shelter = pair[1]
    endpoint = await town.endpoint(pair[1])
    town.custodian.down = True
    made = town.referral(pair)
    await town.publish()
    query = "SELECT count(*) FROM attempts a JOIN deliveries d ON d.number = a.delivery WHERE endpoint_id = %s"
    await wait_until_async(lambda: town.rows(query, endpoint.id)[0][0] >= 1, what="an attempt in vain")
    await said.step(beds.HoldPlaced, ["b1"])
    (received,) = await endpoint.desk.wait()
    assert received.body["type"] == HOLD
    town.custodian.down = False
    await endpoint.desk.wait(2)
    (told,) = await town.wait_told(made.client_id, "delivered")
    assert told.recipient.organization == pair[1]
    assert await town.told("") == []


async def test_a_filter_changed_meanwhile_counts(town: Hooked, said: Beds) -> None:
    endpoint = await said.endpoint(said.holder, HOLD)
    endpoint.desk.answers = [(500, {})]
    await said.step(beds.HoldPlaced, ["b1"])
    await town.delivery(endpoint, "pending")
    change = {"types": ["hold.expired"]}
    assert (await town.call(said.holder, "PATCH", f"/endpoints/{endpoint.id}", change)).status_code == 200
    _hurry(town, endpoint)
    await town.wait_states(endpoint, "not_sent")
    assert len(endpoint.desk.received) == 1


async def test_it_stands_in_no_inbox(town: Hooked, said: Beds) -> None:
    endpoint = await said.endpoint(said.shelter, "*")
    await said.step(beds.HoldPlaced, ["b1"])
    await endpoint.desk.wait()
    assert (await town.get(said.shelter, "/inbox"))["items"] == []


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_a_units_numbers_need_the_scope_that_shows_them(town: Hooked, said: Beds, method: str) -> None:
    endpoint = await town.endpoint(said.holder, "hold.placed")
    path = "/endpoints" if method == "POST" else f"/endpoints/{endpoint.id}"
    body = {"types": [UNIT], "url": endpoint.desk.url}
    refused = await town.call(said.holder, method, path, body)
    assert refused.status_code == 403
    assert refused.json()["errors"][0]["field"] == "types"


@pytest.mark.parametrize("fault", UNREADABLE)
async def test_a_record_that_cannot_be_read_stops_nothing_and_is_told_to_nobody(
    town: Hooked, said: Beds, fault: str
) -> None:
    endpoint = await said.endpoint(said.holder, HOLD)
    topic, value = UNREADABLE[fault]
    before = unreadable(topic)
    await town.producer.send_and_wait(topic, value, b"b1", partition=0)
    await wait_until_async(lambda: unreadable(topic) == before + 1, what="it to be counted")
    await said.step(beds.HoldPlaced, ["b1"])
    await endpoint.desk.wait()
    assert town.rows("SELECT type FROM notices WHERE inbox IS NOT NULL") == []


def unreadable(topic: str) -> float:
    """How many records of the topic could not be read so far."""
    return alarms.UNREADABLE.labels(topic)._value.get()  # type: ignore[no-any-return]


async def test_what_is_old_is_forgotten_with_its_attempts(town: Hooked, said: Beds) -> None:
    endpoint = await said.endpoint(said.holder, HOLD)
    await said.step(beds.HoldPlaced, ["b1"])
    await town.delivery(endpoint, "delivered")
    town.do("UPDATE notices SET created_at = now() - %s - interval '1 minute'", notice_rows.KEPT_FOR)
    await town.wait_states(endpoint)
    assert town.rows("SELECT count(*) FROM notices") == [(0,)]


def _hurry(town: Hooked, endpoint: Endpoint) -> None:
    town.do("UPDATE deliveries SET due_at = now() WHERE endpoint_id = %s AND state = 'pending'", endpoint.id)
