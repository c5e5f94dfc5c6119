"""Deliveries on the real broker and database, to a real receiver, under a custodian that may say no."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from services.webhooks.dispatch import WORKERS_EACH
from tests.conftest import Databases
from tests.support.custodian import Asked, closed, nothing, only_the_need
from tests.support.hooked import Endpoint, Hooked, hooked
from tests.support.tables import direct
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.asyncio(loop_scope="module")
NAME = "Rosalind"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(postgres: Databases) -> AsyncIterator[Hooked]:
    async with hooked(postgres.create_database("webhooks")) as found, found.serving():
        yield found


def rows(town: Hooked, query: str, *values: object) -> list[tuple[Any, ...]]:
    """Look at the tables from outside."""
    with direct(town.settings.database_url) as connection:
        return connection.execute(query, values).fetchall()


def do(town: Hooked, statement: str, *values: object) -> None:
    with direct(town.settings.database_url) as connection:
        connection.execute(statement, values)


async def states(town: Hooked, endpoint: Endpoint, *expected: str) -> None:
    """Wait until the endpoint's deliveries are in these states, whoever may see them."""
    query = "SELECT state FROM deliveries WHERE endpoint_id = %s ORDER BY number"
    await wait_until_async(
        lambda: [state for (state,) in rows(town, query, endpoint.id)] == list(expected), what=f"states {expected}"
    )


async def test_a_permit_arrives_signed_and_is_settled(town: Hooked) -> None:
    pair = town.pair()
    endpoint = await town.endpoint(pair[1])
    made = town.referral(pair, identity={"first_name": NAME})
    await town.publish()
    (received,) = await endpoint.desk.wait()
    body = received.verified(endpoint.secret)
    assert body["type"] == "referral.requested"
    assert body["data"]["shared"]["identity"] == {"first_name": NAME}
    assert body["data"]["client_id"] == made.client_id
    delivery = await town.delivery(endpoint, "delivered")
    assert (delivery["webhook_id"], delivery["type"]) == (received.webhook_id, "referral.requested")
    assert [attempt["status_code"] for attempt in delivery["attempts"]] == [200]
    (record,) = await town.wait_told(made.client_id, "delivered")
    assert (record.channel, record.verdict, record.categories) == ("webhook", "permit", ("identity", "need"))
    assert (record.endpoint_id, record.recipient.organization) == (endpoint.id, pair[1])
    await wait_until_async(lambda: town.custodian.settlements(made.client_id)[0][-1:] == ["delivered"], what="settled")
    assert record.release_id in town.custodian.released


async def test_without_a_consent_the_need_arrives_and_no_trace_of_the_person(town: Hooked) -> None:
    pair = town.pair()
    endpoint = await town.endpoint(pair[1])
    made = town.referral(pair, granted=False, identity={"first_name": NAME})
    await town.publish()
    (received,) = await endpoint.desk.wait()
    assert received.data["verdict"] == "deidentified"
    for trace in (NAME, made.client_id, made.id):
        assert trace not in received.raw.decode()


async def test_a_status_returns_to_the_originator(town: Hooked) -> None:
    pair = town.pair()
    endpoint = await town.endpoint(pair[0])
    made = town.referral(pair)
    town.disclosing.say(made, "accepted", publisher=pair[1])
    await town.publish()
    (received,) = await endpoint.desk.wait()
    assert (received.body["type"], received.data["status"]) == ("referral.accepted", "accepted")
    assert (received.data["referral_id"], received.data["shared"]) == (made.id, {})
    (asked,) = [each for each in town.custodian.of(made.client_id) if each.verdict == "status"]
    assert (asked.told.organization, asked.recipient.organization) == pair


async def test_a_filter_lets_only_its_types_through(town: Hooked) -> None:
    pair = town.pair()
    everything = await town.endpoint(pair[1])
    cancelled = await town.endpoint(pair[1], "referral.cancelled")
    made = town.referral(pair)
    town.disclosing.say(made, "cancelled")
    await town.publish()
    await everything.desk.wait(2)
    (received,) = await cancelled.desk.wait()
    assert received.body["type"] == "referral.cancelled"


async def test_a_status_cut_to_closed_does_not_show_what_it_was(town: Hooked) -> None:
    pair = town.pair()
    everything = await town.endpoint(pair[1])
    filtered = await town.endpoint(pair[1], "referral.cancelled")
    made = town.referral(pair)
    await town.publish()
    await everything.desk.wait(1)
    town.custodian.rules[made.client_id] = closed
    town.disclosing.say(made, "cancelled")
    await town.publish()
    received = (await everything.desk.wait(2))[1]
    assert (received.body["type"], received.data["status"]) == ("referral.closed", "closed")
    assert "cancelled" not in received.raw.decode()
    await states(town, filtered, "not_sent")
    assert filtered.desk.received == []
    assert await town.deliveries(filtered) == []


async def test_the_custodian_cuts_to_the_need(town: Hooked) -> None:
    pair = town.pair()
    endpoint = await town.endpoint(pair[1])
    made = town.referral(pair, identity={"first_name": NAME})
    town.custodian.rules[made.client_id] = only_the_need
    await town.publish()
    (received,) = await endpoint.desk.wait()
    assert received.data["verdict"] == "deidentified"
    assert made.client_id not in received.raw.decode()
    (record,) = await town.wait_told(made.client_id, "delivered")
    assert (record.verdict, record.categories) == ("deidentified", ("need",))


async def test_what_is_withheld_leaves_no_trace_outside(town: Hooked) -> None:
    pair = town.pair()
    endpoint = await town.endpoint(pair[1])
    made = town.referral(pair)
    town.custodian.rules[made.client_id] = nothing
    await town.publish()
    (record,) = await town.wait_told(made.client_id, "withheld")
    assert (record.verdict, record.reason, record.release_id) == ("withheld", "revoked", None)
    await states(town, endpoint, "withheld")
    assert endpoint.desk.received == []
    assert await town.deliveries(endpoint) == []
    ((hidden,),) = rows(town, "SELECT id FROM deliveries WHERE endpoint_id = %s", endpoint.id)
    for method, path in (("GET", f"/deliveries/{hidden}"), ("POST", f"/deliveries/{hidden}/replay")):
        assert (await town.call(pair[1], method, path)).status_code == 404


async def test_while_the_custodian_is_down_nothing_is_sent_and_nothing_is_lost(town: Hooked) -> None:
    pair = town.pair()
    endpoint = await town.endpoint(pair[1])
    town.custodian.down = True
    made = town.referral(pair)
    await town.publish()
    query = "SELECT count(*) FROM attempts a JOIN deliveries d ON d.number = a.delivery WHERE endpoint_id = %s"
    await wait_until_async(lambda: rows(town, query, endpoint.id)[0][0] >= 2, what="two attempts in vain")
    assert endpoint.desk.received == []
    assert await town.deliveries(endpoint) == []
    town.custodian.down = False
    await endpoint.desk.wait()
    delivery = await town.delivery(endpoint, "delivered")
    assert len(delivery["attempts"]) == 1  # what was not released is nobody's business
    assert rows(town, "SELECT failures FROM deliveries WHERE endpoint_id = %s", endpoint.id) == [(0,)]
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


async def test_a_retry_after_a_revocation_is_withheld_and_looks_given_up(town: Hooked) -> None:
    pair = town.pair()
    endpoint = await town.endpoint(pair[1])
    endpoint.desk.answers = [(500, {})]
    made = town.referral(pair)
    await town.publish()
    await town.delivery(endpoint, "pending")
    town.custodian.rules[made.client_id] = nothing
    do(town, "UPDATE deliveries SET due_at = now() WHERE endpoint_id = %s", endpoint.id)
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
    await states(town, endpoint, "given_up")
    path = f"/endpoints/{endpoint.id}"
    await wait_until_async(lambda: _field(town, pair[1], path, "enabled", False), what="the endpoint to be disabled")
    assert (await town.get(pair[1], path))["disabled_reason"] == "gone"
    town.referral(pair)
    await town.publish()
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
    do(town, "UPDATE deliveries SET due_at = now() WHERE endpoint_id = %s", endpoint.id)
    await states(town, endpoint, "not_sent")
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
    await wait_until_async(lambda: rows(town, query, endpoint.id) == [(True,)], what="the endpoint to be held")
    later = town.referral(pair)
    other = await town.endpoint(pair[1])
    await town.publish()
    town.referral(pair)
    await town.publish()
    await other.desk.wait()
    assert len(endpoint.desk.received) == 1
    assert all(asked.attempt == 1 for asked in town.custodian.of(later.client_id))
    do(town, "UPDATE endpoints SET held_until = now() WHERE id = %s", endpoint.id)
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
    await states(town, endpoint, "withheld")
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


async def test_past_its_lease_nothing_is_sent(town: Hooked) -> None:
    pair = town.pair()
    endpoint = await town.endpoint(pair[1])
    made = town.referral(pair)

    def stand_still(asked: Asked) -> None:
        if asked.client_id == made.client_id and asked.attempt == 1:
            town.clock.ahead += 2.0  # the answer was given, and then nothing happened until the lease was over

    town.custodian.before_answering = stand_still
    await town.publish()
    await endpoint.desk.wait()
    assert len(town.custodian.of(made.client_id)) == 2
    await town.wait_told(made.client_id, "not_sent", "delivered")
    await wait_until_async(
        lambda: [each[-1:] for each in town.custodian.settlements(made.client_id)] == [["not_sent"], ["delivered"]],
        what="both releases to be settled",
    )
    assert len(endpoint.desk.received) == 1


async def test_started_is_told_before_the_receiver_has_answered(town: Hooked) -> None:
    pair = town.pair()
    endpoint = await town.endpoint(pair[1])
    endpoint.desk.open.clear()
    made = town.referral(pair)
    await town.publish()
    await endpoint.desk.wait()
    await wait_until_async(lambda: town.custodian.settlements(made.client_id) == [["started"]], what="started")
    endpoint.desk.open.set()
    await wait_until_async(
        lambda: town.custodian.settlements(made.client_id) == [["started", "delivered"]], what="delivered"
    )


async def test_a_copy_on_the_log_changes_nothing(town: Hooked) -> None:
    pair = town.pair()
    endpoint = await town.endpoint(pair[1])
    town.referral(pair)
    await town.publish()
    await endpoint.desk.wait()
    town.written -= 3
    await town.publish()
    town.referral(pair)
    await town.publish()
    assert len({received.webhook_id for received in await endpoint.desk.wait(2)}) == 2
    await states(town, endpoint, "delivered", "delivered")


async def test_a_slow_endpoint_delays_no_other(town: Hooked) -> None:
    pair = town.pair()
    slow, quick = await town.endpoint(pair[1]), await town.endpoint(pair[1])
    slow.desk.open.clear()
    for _ in range(30):
        town.referral(pair)
    await town.publish()
    received = await quick.desk.wait(30)
    assert len(slow.desk.received) <= WORKERS_EACH
    assert len({each.webhook_id for each in received}) == 30
    slow.desk.open.set()
    await slow.desk.wait(30)


async def _field(town: Hooked, organization: str, path: str, name: str, value: object) -> bool:
    found = (await town.get(organization, path))[name]
    return bool(found == value)
