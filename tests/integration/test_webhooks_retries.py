"""Deliveries that fail, and what is sent again: retries, disabled and overloaded endpoints, replays."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.conftest import Databases
from tests.support.custodian import UNMADE, nothing, on_a_later_consent, only_the_need
from tests.support.hooked import Hooked, hooked
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.asyncio(loop_scope="module")
NAME = "Rosalind"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(postgres: Databases) -> AsyncIterator[Hooked]:
    async with hooked(postgres.create_database("webhooks")) as found, found.serving():
        yield found


async def test_while_the_custodian_is_down_nothing_is_sent_and_nothing_is_lost(town: Hooked) -> None:
    pair = town.pair()
    endpoint = await town.endpoint(pair[1])
    town.custodian.down = True
    made = town.referral(pair)
    await town.publish()
    query = "SELECT count(*) FROM attempts a JOIN deliveries d ON d.number = a.delivery WHERE endpoint_id = %s"
    await wait_until_async(lambda: town.rows(query, endpoint.id)[0][0] >= 2, what="two attempts in vain")
    assert endpoint.desk.received == []
    assert await town.deliveries(endpoint) == []
    town.custodian.down = False
    await endpoint.desk.wait()
    delivery = await town.delivery(endpoint, "delivered")
    assert len(delivery["attempts"]) == 1  # what was not released is nobody's business
    assert town.rows("SELECT failures FROM deliveries WHERE endpoint_id = %s", endpoint.id) == [(0,)]
    await town.wait_told(made.client_id, "delivered")


async def test_a_failure_is_tried_again_with_the_same_id_and_asked_for_again(town: Hooked) -> None:
    pair = town.pair()
    endpoint = await town.endpoint(pair[1])
    endpoint.desk.answers = [(500, {})]
    made = town.referral(pair)
    await town.publish()
    first, second = await endpoint.desk.wait(2)
    assert 3.9 < second.at - first.at < 8
    assert (first.webhook_id, first.body) == (second.webhook_id, second.body)
    assert second.verified(endpoint.secret)
    assert [asked.attempt for asked in town.custodian.of(made.client_id)] == [1, 2]
    delivery = await town.delivery(endpoint, "delivered")
    assert [attempt["status_code"] for attempt in delivery["attempts"]] == [500, 200]
    await town.wait_told(made.client_id, "failed", "delivered")
    await wait_until_async(
        lambda: [each[-1:] for each in town.custodian.settlements(made.client_id)] == [["failed"], ["delivered"]],
        what="both releases to be settled",
    )


async def test_the_log_is_told_which_consents_a_message_rested_on_when_it_was_sent(town: Hooked) -> None:
    pair = town.pair()
    endpoint = await town.endpoint(pair[1])
    endpoint.desk.answers = [(503, {})]
    made = town.referral(pair)
    await town.publish()
    await town.delivery(endpoint, "pending")
    town.custodian.rules[made.client_id] = on_a_later_consent
    town.do("UPDATE deliveries SET due_at = now() WHERE endpoint_id = %s", endpoint.id)
    first, second = await endpoint.desk.wait(2)
    later = f"later consent of {made.client_id}"
    assert [sent.data["consent"][0]["id"] for sent in (first, second)] == [f"consent of {made.client_id}", later]
    failed, delivered = await town.wait_told(made.client_id, "failed", "delivered")
    assert (failed.consents, failed.obligations) == ((f"consent of {made.client_id}",), ()), "it may be kept"
    assert (delivered.consents, delivered.obligations) == ((later,), ("do-not-enter-in-hmis",))
    assert set(delivered.obligations) <= set(second.data["obligations"])


@pytest.mark.parametrize("reason", UNMADE)
async def test_what_cannot_be_made_is_tried_again_and_is_not_its_receivers_fault(town: Hooked, reason: str) -> None:
    pair = town.pair()
    endpoint = await town.endpoint(pair[1])
    made = town.referral(pair)
    town.custodian.rules[made.client_id] = UNMADE[reason]
    await town.publish()
    (record,) = await town.wait_told(made.client_id, "not_sent")
    assert (record.channel, record.endpoint_id, record.reason) == ("webhook", endpoint.id, reason)
    await town.wait_states(endpoint, "pending")
    assert await town.deliveries(endpoint) == [], "it may yet be withheld"
    assert (await town.get(pair[1], f"/endpoints/{endpoint.id}"))["failing"] is False
    del town.custodian.rules[made.client_id]
    town.do("UPDATE deliveries SET due_at = now() WHERE endpoint_id = %s", endpoint.id)
    (received,) = await endpoint.desk.wait()
    assert received.data["client_id"] == made.client_id
    await town.wait_told(made.client_id, "not_sent", "delivered")


async def test_a_retry_after_a_revocation_is_withheld_and_looks_given_up(town: Hooked) -> None:
    pair = town.pair()
    endpoint = await town.endpoint(pair[1])
    endpoint.desk.answers = [(500, {})]
    made = town.referral(pair)
    await town.publish()
    await town.delivery(endpoint, "pending")
    town.custodian.rules[made.client_id] = nothing
    town.do("UPDATE deliveries SET due_at = now() WHERE endpoint_id = %s", endpoint.id)
    delivery = await town.delivery(endpoint, "given_up")
    assert [attempt["status_code"] for attempt in delivery["attempts"]] == [500]
    assert "withheld" not in str(delivery)
    assert len(endpoint.desk.received) == 1
    await town.wait_told(made.client_id, "failed", "withheld")


async def test_a_redirect_is_a_failure(town: Hooked) -> None:
    pair = town.pair()
    endpoint, elsewhere = await town.endpoint(pair[1]), town.receiver.desk("elsewhere")
    endpoint.desk.always = (307, {"Location": elsewhere.url})
    town.referral(pair)
    await town.publish()
    delivery = await town.delivery(endpoint, "pending")
    assert [attempt["status_code"] for attempt in delivery["attempts"]] == [307]
    assert elsewhere.received == []


async def test_410_disables_the_endpoint_until_its_owner_enables_it(town: Hooked) -> None:
    pair = town.pair()
    endpoint = await town.endpoint(pair[1])
    endpoint.desk.always = (410, {})
    town.referral(pair)
    await town.publish()
    await town.wait_states(endpoint, "given_up")
    path = f"/endpoints/{endpoint.id}"
    await wait_until_async(lambda: _field(town, pair[1], path, "enabled", False), what="the endpoint to be disabled")
    assert (await town.get(pair[1], path))["disabled_reason"] == "gone"
    other = await town.endpoint(pair[1])
    town.referral(pair)
    await town.publish()
    await other.desk.wait(1)  # so the second referral was read while the first endpoint was disabled
    endpoint.desk.always = (200, {})
    enabled = await town.call(pair[1], "PATCH", path, {"enabled": True})
    assert (enabled.json()["enabled"], enabled.json()["disabled_reason"]) == (True, None)
    late = town.referral(pair)
    await town.publish()
    received = await endpoint.desk.wait(2)
    assert received[-1].data["client_id"] == late.client_id


async def test_what_was_pending_at_a_disabled_endpoint_is_not_sent(town: Hooked) -> None:
    pair = town.pair()
    endpoint = await town.endpoint(pair[1])
    endpoint.desk.always = (500, {})
    made = town.referral(pair)
    await town.publish()
    await town.delivery(endpoint, "pending")
    await town.call(pair[1], "PATCH", f"/endpoints/{endpoint.id}", {"enabled": False})
    town.do("UPDATE deliveries SET due_at = now() WHERE endpoint_id = %s", endpoint.id)
    await town.wait_states(endpoint, "not_sent")
    assert len(town.custodian.of(made.client_id)) == 1
    refused = await town.call(pair[1], "POST", f"/deliveries/{(await town.deliveries(endpoint))[0]['id']}/replay")
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/wrong-status")


async def test_an_overloaded_endpoint_is_left_alone(town: Hooked) -> None:
    pair = town.pair()
    endpoint = await town.endpoint(pair[1])
    endpoint.desk.answers = [(429, {"Retry-After": "600"})]
    town.referral(pair)
    await town.publish()
    await endpoint.desk.wait()
    query = "SELECT held_until > now() + interval '9 minutes' FROM endpoints WHERE id = %s"
    await wait_until_async(lambda: town.rows(query, endpoint.id) == [(True,)], what="the endpoint to be held")
    later = town.referral(pair)
    other = await town.endpoint(pair[1])
    await town.publish()
    town.referral(pair)
    await town.publish()
    await other.desk.wait()
    assert len(endpoint.desk.received) == 1
    assert all(asked.attempt == 1 for asked in town.custodian.of(later.client_id))
    town.do("UPDATE endpoints SET held_until = now() WHERE id = %s", endpoint.id)
    await endpoint.desk.wait(3)


async def test_a_replay_asks_the_custodian_again(town: Hooked) -> None:
    pair = town.pair()
    endpoint = await town.endpoint(pair[1])
    made = town.referral(pair, identity={"first_name": NAME})
    await town.publish()
    delivery = await town.delivery(endpoint, "delivered")
    town.custodian.rules[made.client_id] = only_the_need
    replayed = await town.call(pair[1], "POST", f"/deliveries/{delivery['id']}/replay")
    assert (replayed.status_code, replayed.json()["state"]) == (202, "pending")
    first, second = await endpoint.desk.wait(2)
    assert first.webhook_id == second.webhook_id
    assert (first.data["verdict"], second.data["verdict"]) == ("permit", "deidentified")
    town.custodian.rules[made.client_id] = nothing
    await town.delivery(endpoint, "delivered")
    await town.call(pair[1], "POST", f"/deliveries/{delivery['id']}/replay")
    await town.wait_states(endpoint, "withheld")
    assert len(endpoint.desk.received) == 2
    assert len((await town.delivery(endpoint, "given_up"))["attempts"]) == 2


async def test_what_is_being_sent_cannot_be_replayed(town: Hooked) -> None:
    pair = town.pair()
    endpoint = await town.endpoint(pair[1])
    endpoint.desk.answers = [(500, {})]
    town.referral(pair)
    await town.publish()
    delivery = await town.delivery(endpoint, "pending")
    endpoint.desk.open.clear()
    assert (await town.call(pair[1], "POST", f"/deliveries/{delivery['id']}/replay")).status_code == 202
    await endpoint.desk.wait(2)
    refused = await town.call(pair[1], "POST", f"/deliveries/{delivery['id']}/replay")
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/wrong-status")
    endpoint.desk.open.set()
    await town.delivery(endpoint, "delivered")


async def _field(town: Hooked, organization: str, path: str, name: str, value: object) -> bool:
    found = (await town.get(organization, path))[name]
    return bool(found == value)
