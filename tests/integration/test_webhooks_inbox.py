"""The inbox: everything that webhooks bring, page by page, and no more than the custodian lets through now."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from prometheus_client import REGISTRY

from services.webhooks.model import RETRY_SCHEDULE
from tests.conftest import Databases
from tests.support.custodian import UNMADE, Asked, closed, nothing, only_the_need
from tests.support.disclosing import Made
from tests.support.governance import is_problem
from tests.support.hooked import Hooked, hooked
from tests.support.households import household, wait_decided
from tests.support.tables import direct
from tests.support.waiting import wait_until_async

WAITING = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(postgres: Databases) -> AsyncIterator[Hooked]:
    async with hooked(postgres.create_database("webhooks")) as found, found.serving():
        yield found


async def read(town: Hooked, organization: str, **parameters: Any) -> Any:
    return await town.get(organization, "/inbox", **parameters)


async def arrived(town: Hooked, organization: str, count: int) -> list[dict[str, Any]]:
    """Wait until the inbox has this many items."""

    async def found() -> list[dict[str, Any]] | None:
        items: list[dict[str, Any]] = (await read(town, organization))["items"]
        return items if len(items) >= count else None

    return await wait_until_async(found, what=f"{count} items")


async def referred(town: Hooked, pair: tuple[str, str], count: int) -> list[Made]:
    made = [town.referral(pair) for _ in range(count)]
    await town.publish()
    await arrived(town, pair[1], count)
    return made


async def decided(town: Hooked, organization: str, number: int) -> bool:
    query = "SELECT count(*) FROM decisions WHERE organization = %s"
    return town.rows(query, organization) == [(number,)]


async def test_the_inbox_serves_what_webhooks_bring(town: Hooked) -> None:
    pair = town.pair()
    endpoint = await town.endpoint(pair[1])
    (made,) = await referred(town, pair, 1)
    (item,) = (await read(town, pair[1]))["items"]
    assert item == (await endpoint.desk.wait())[0].body
    assert item["data"]["client_id"] == made.client_id
    assert (await read(town, pair[0]))["items"] == []


async def test_the_inbox_is_read_in_pages_and_from_where_one_was(town: Hooked) -> None:
    pair = town.pair()
    clients = [made.client_id for made in await referred(town, pair, 5)]
    first = await read(town, pair[1], limit=2)
    rest = await read(town, pair[1], limit=200, after=first["next"])
    assert [item["data"]["client_id"] for item in first["items"] + rest["items"]] == clients
    assert await read(town, pair[1], after=rest["next"]) == {"items": [], "next": None}
    later = town.referral(pair)
    await town.publish()
    await arrived(town, pair[1], 6)
    assert [item["data"]["client_id"] for item in (await read(town, pair[1], after=rest["next"]))["items"]] == [
        later.client_id
    ]


async def test_what_is_withheld_leaves_no_gap(town: Hooked) -> None:
    pair = town.pair()
    made = [town.referral(pair) for _ in range(4)]
    for each in made[1:3]:
        town.custodian.rules[each.client_id] = nothing
    await town.publish()
    await arrived(town, pair[1], 2)
    first = await read(town, pair[1], limit=1)
    second = await read(town, pair[1], limit=1, after=first["next"])
    assert [page["items"][0]["data"]["client_id"] for page in (first, second)] == [made[0].client_id, made[3].client_id]
    assert len({len(page["next"]) for page in (first, second)}) == 1
    assert await read(town, pair[1], after=second["next"]) == {"items": [], "next": None}
    (record,) = await town.wait_told(made[1].client_id, "withheld")
    assert (record.channel, record.verdict, record.endpoint_id) == ("inbox", "withheld", None)
    town.custodian.rules.clear()
    assert len((await read(town, pair[1]))["items"]) == 2  # withheld is for good


def unmade(reason: str, channel: str = "inbox") -> float:
    return REGISTRY.get_sample_value("threshold_messages_unmade_total", {"channel": channel, "reason": reason}) or 0.0


@pytest.mark.parametrize("reason", UNMADE)
async def test_what_cannot_be_made_stops_nothing_and_comes_again_later(town: Hooked, reason: str) -> None:
    pair, counted = town.pair(), unmade(reason)
    made = [town.referral(pair) for _ in range(3)]
    town.custodian.rules[made[1].client_id] = UNMADE[reason]
    await town.publish()
    await wait_until_async(lambda: decided(town, pair[1], 3), what="the items")
    first = await read(town, pair[1])
    assert [item["data"]["client_id"] for item in first["items"]] == [made[0].client_id, made[2].client_id]
    (record,) = await town.wait_told(made[1].client_id, "not_sent")
    assert (record.channel, record.reason, unmade(reason) - counted) == ("inbox", reason, 1)
    assert await read(town, pair[1], after=first["next"]) == {"items": [], "next": None}
    assert len(town.custodian.of(made[1].client_id)) == 1, "not asked again before it is due"

    del town.custodian.rules[made[1].client_id]
    town.do("UPDATE decisions SET inbox_due_at = now() WHERE organization = %s AND inbox_due_at IS NOT NULL", pair[1])

    async def rest() -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await read(town, pair[1], after=first["next"]))["items"]
        return items

    (late,) = await wait_until_async(rest, what="the item to come again, behind the cursor that had passed its place")
    assert late["data"]["client_id"] == made[1].client_id
    assert town.rows("SELECT DISTINCT inbox_failures FROM decisions WHERE organization = %s", pair[1]) == [(0,)]
    everything = (await read(town, pair[1]))["items"]
    assert [item["data"]["client_id"] for item in everything] == [made[one].client_id for one in (0, 2, 1)]


@pytest.mark.parametrize("reason", UNMADE)
async def test_what_can_never_be_made_is_given_up_for_good(town: Hooked, reason: str) -> None:
    pair = town.pair()
    made = town.referral(pair)
    town.custodian.rules[made.client_id] = UNMADE[reason]
    await town.publish()
    await wait_until_async(lambda: decided(town, pair[1], 1), what="the item")
    town.do("UPDATE decisions SET inbox_failures = %s WHERE organization = %s", len(RETRY_SCHEDULE) - 1, pair[1])
    for _ in range(3):
        assert await read(town, pair[1]) == {"items": [], "next": None}
    assert len(town.custodian.of(made.client_id)) == 1, "not asked for again"
    released = [["not_sent"]] if reason == "unrenderable" else []
    await wait_until_async(lambda: town.custodian.settlements(made.client_id) == released, what="it to be settled")
    town.custodian.rules.clear()
    later = town.referral(pair)
    await town.publish()
    (item,) = await arrived(town, pair[1], 1)
    assert item["data"]["client_id"] == later.client_id
    await town.wait_told(later.client_id, "released", "delivered")  # so whatever was said before it is on the log
    records = await town.told(made.client_id)
    assert [(record.state, record.reason) for record in records] == [("not_sent", reason), ("given_up", reason)]


async def test_an_inbox_of_nothing_but_withheld_looks_empty(town: Hooked) -> None:
    pair = town.pair()
    made = [town.referral(pair) for _ in range(20)]
    town.custodian.rules |= {each.client_id: nothing for each in made}
    await town.publish()
    await wait_until_async(lambda: decided(town, pair[1], 20), what="the items")
    assert await read(town, pair[1]) == {"items": [], "next": None}
    assert await read(town, pair[1]) == await read(town, f"{pair[1]}-nobody")


async def test_each_reading_is_released_and_settled(town: Hooked) -> None:
    pair = town.pair()
    made = town.referral(pair)
    await town.publish()
    await wait_until_async(lambda: decided(town, pair[1], 1), what="the item")
    for cut, verdict in ((None, "permit"), (only_the_need, "deidentified")):
        if cut:
            town.custodian.rules[made.client_id] = cut
        (item,) = (await read(town, pair[1]))["items"]
        assert item["data"]["verdict"] == verdict
    asked = town.custodian.of(made.client_id)
    assert [(each.channel, each.attempt) for each in asked] == [("inbox", 1), ("inbox", 2)]
    await wait_until_async(
        lambda: town.custodian.settlements(made.client_id) == [["delivered"]] * 2, what="both to be settled"
    )
    records = await town.wait_told(made.client_id, "released", "delivered", "released", "delivered")
    assert [record.verdict for record in records] == ["permit", "permit", "deidentified", "deidentified"]
    assert [record.consents for record in records] == [(f"consent of {made.client_id}",)] * 2 + [()] * 2


async def test_a_status_in_the_inbox_may_be_closed(town: Hooked) -> None:
    pair = town.pair()
    made = town.referral(pair)
    town.custodian.rules[f"0/{len(town.disclosing.answers)}/{pair[1]}"] = closed
    town.disclosing.say(made, "cancelled")
    await town.publish()
    items = await arrived(town, pair[1], 2)
    assert (items[1]["type"], items[1]["data"]["status"]) == ("referral.closed", "closed")
    assert "cancelled" not in json.dumps(items[1])


async def test_without_the_custodian_the_inbox_says_so(town: Hooked) -> None:
    pair = town.pair()
    await referred(town, pair, 1)
    town.custodian.down = True
    answer = await town.call(pair[1], "GET", "/inbox")
    town.custodian.down = False
    is_problem(answer, 503, "dependency-down")
    assert answer.headers["retry-after"]
    assert len((await read(town, pair[1]))["items"]) == 1


async def test_past_its_leases_a_page_is_not_sent(town: Hooked) -> None:
    pair = town.pair()
    (made,) = await referred(town, pair, 1)
    before = len(town.custodian.of(made.client_id))

    def stand_still(asked: Asked) -> None:
        if asked.client_id == made.client_id and asked.attempt == before + 1:
            town.clock.ahead += 2.0

    town.custodian.before_answering = stand_still
    is_problem(await town.call(pair[1], "GET", "/inbox"), 503, "dependency-down")
    await wait_until_async(lambda: town.custodian.settlements(made.client_id)[-1] == ["not_sent"], what="settled")
    assert len((await read(town, pair[1]))["items"]) == 1


async def test_a_cursor_is_ones_own(town: Hooked) -> None:
    pair, other = town.pair(), town.pair()
    await referred(town, pair, 1)
    page = await read(town, pair[1])
    for organization, cursor in ((other[1], page["next"]), (pair[1], page["next"][:-2]), (pair[1], "NDE")):
        is_problem(await town.call(organization, "GET", "/inbox", after=cursor), 422, "invalid-parameter", "after")


async def test_an_answer_of_the_inbox_is_kept_by_no_cache(town: Hooked) -> None:
    pair = town.pair()
    answer = await town.call(pair[1], "GET", "/inbox")
    assert (answer.headers["cache-control"], answer.headers["content-type"]) == ("no-store", "application/json")


@pytest.mark.parametrize("path", ["/inbox", "/inbox/referrals/{id}"])
async def test_an_inbox_and_a_story_never_wait_for_each_other(town: Hooked, path: str) -> None:
    """Both take rows in the order of their numbers: who waits for one holds none of those after it."""
    of = await household(town, "mother", "son", "daughter")
    town.disclosing.say(of.mother, "cancelled")
    await town.publish()
    await wait_decided(town, of, 4)
    rows = town.rows("SELECT number FROM decisions WHERE organization = %s ORDER BY number", of.receiver)
    numbers = [number for (number,) in rows]
    for number in reversed(numbers):  # as what was put off comes back: the inbox has them in another order
        town.do("UPDATE decisions SET position = DEFAULT WHERE number = %s", number)
    for place, number in enumerate(numbers[:-1]):
        with direct(town.settings.database_url) as connection, connection.transaction():
            connection.execute("SELECT FROM decisions WHERE number = %s FOR UPDATE", (number,))
            reading = asyncio.create_task(town.call(of.receiver, "GET", path.format(id=of.id)))
            await wait_until_async(lambda: bool(town.rows(WAITING)), what="the reader to wait")
            later = "SELECT FROM decisions WHERE number = ANY(%s) FOR UPDATE NOWAIT"
            connection.execute(later, (numbers[place + 1 :],))
        assert (await reading).status_code == 200
