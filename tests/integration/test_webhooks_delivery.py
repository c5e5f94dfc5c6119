"""Deliveries on the real broker and database, to a real receiver, under a custodian that may say no."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from msgspec.structs import replace

from services.kit.database import Database
from services.webhooks import decision_rows
from services.webhooks.dispatch import WORKERS_EACH
from services.webhooks.told import decode
from tests.conftest import Databases
from tests.support.custodian import Asked, closed, nothing, only_the_need
from tests.support.hooked import Hooked, hooked
from tests.support.outreach import World
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.asyncio(loop_scope="module")
NAME = "Rosalind"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(postgres: Databases) -> AsyncIterator[Hooked]:
    async with hooked(postgres.create_database("webhooks")) as found, found.serving():
        yield found


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
    await town.wait_states(filtered, "not_sent")
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
    await town.wait_states(endpoint, "withheld")
    assert endpoint.desk.received == []
    assert await town.deliveries(endpoint) == []
    ((hidden,),) = town.rows("SELECT id FROM deliveries WHERE endpoint_id = %s", endpoint.id)
    for method, path in (("GET", f"/deliveries/{hidden}"), ("POST", f"/deliveries/{hidden}/replay")):
        assert (await town.call(pair[1], method, path)).status_code == 404


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
    await town.wait_states(endpoint, "delivered", "delivered")


async def test_of_two_decisions_of_one_name_the_first_counts_and_all_keep_their_order(town: Hooked) -> None:
    told = World().permit()
    same_name, before = replace(told, event=replace(told.event, id="another")), replace(told, id=f"{told.id}-before")
    database = Database(town.settings.database_url)
    for _ in range(2):
        async with database.direct.transaction() as connection:
            await decision_rows.add(connection, [before, told, same_name], b"key")
    await database.close()
    rows = town.rows("SELECT told FROM decisions WHERE organization = 'shelter' ORDER BY position")
    assert [decode(each) for (each,) in rows] == [before, told]


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
