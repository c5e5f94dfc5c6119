"""Of a referral that was entered in error nothing goes out any more but the word of that, wherever it is asked for."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.conftest import Databases
from tests.support.custodian import Asked
from tests.support.disclosing import Made
from tests.support.governance import is_problem
from tests.support.hooked import Endpoint, Hooked, hooked
from tests.support.households import household, named, wait_decided
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.asyncio(loop_scope="module")
IN_ERROR = "referral.entered_in_error"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(postgres: Databases) -> AsyncIterator[Hooked]:
    async with hooked(postgres.create_database("webhooks")) as found, found.serving():
        yield found


def has(town: Hooked, organization: str, count: int) -> bool:
    return town.rows("SELECT count(*) FROM decisions WHERE organization = %s", organization) == [(count,)]


async def enter_in_error(town: Hooked, made: Made, organization: str, count: int) -> None:
    """Say so, and wait until it is among what the organization is told."""
    town.disclosing.say(made, "entered_in_error")
    await town.publish()
    await wait_until_async(lambda: has(town, organization, count), what=f"{count} decisions")


async def types(town: Hooked, organization: str) -> list[str]:
    """What stands in the inbox."""
    return [item["type"] for item in (await town.get(organization, "/inbox"))["items"]]


def asked(town: Hooked, made: Made, channel: str = "webhook") -> list[Asked]:
    """What the custodian was asked about the content."""
    return [each for each in town.custodian.of(made.client_id) if each.channel == channel and each.envelopes]


def due(town: Hooked, endpoint: Endpoint) -> None:
    town.do("UPDATE deliveries SET due_at = now() WHERE endpoint_id = %s AND state = 'pending'", endpoint.id)


@pytest.mark.parametrize("granted", [True, False])
async def test_a_retry_and_a_replay_are_withheld_and_the_word_goes_out(town: Hooked, granted: bool) -> None:
    pair = town.pair()
    endpoint = await town.endpoint(pair[1])
    endpoint.desk.answers = [(500, {})]
    made = town.referral(pair, granted=granted)
    await town.publish()
    delivery = await town.delivery(endpoint, "pending")
    await enter_in_error(town, made, pair[1], 2)
    due(town, endpoint)
    await town.wait_states(endpoint, "withheld", "delivered")
    again = await town.call(pair[1], "POST", f"/deliveries/{delivery['id']}/replay")
    assert again.status_code == 202
    await wait_until_async(lambda: len(withheld(town, endpoint)) == 2, what="the replay to be withheld")
    first, word = endpoint.desk.received
    assert first.data["verdict"] == ("permit" if granted else "deidentified")
    assert (word.body["type"], word.data["obligations"]) == (IN_ERROR, ["withdraw-copy"])
    assert len(asked(town, made)) == 1, "the custodian knows nothing of it"

    async def said() -> list[tuple[str | None, str]] | None:
        found: list[tuple[str | None, str]]
        found = [(each.reason, each.verdict) for each in await town.told(made.client_id) if each.state == "withheld"]
        return found if len(found) == 2 else None

    assert await wait_until_async(said, what="the log to be told") == [("entered-in-error", "withheld")] * 2


def withheld(town: Hooked, endpoint: Endpoint) -> list[tuple[int]]:
    query = "SELECT a.attempt FROM attempts a JOIN deliveries d ON d.number = a.delivery WHERE endpoint_id = %s"
    return town.rows(f"{query} AND error = 'withheld'", endpoint.id)


async def test_the_inbox_has_the_word_alone(town: Hooked) -> None:
    pair = town.pair()
    made, need = town.referral(pair), town.referral(pair, granted=False)
    await town.publish()
    await wait_until_async(lambda: has(town, pair[1], 2), what="both referrals")
    assert await types(town, pair[1]) == ["referral.requested"] * 2
    for count, each in enumerate((made, need), 3):
        await enter_in_error(town, each, pair[1], count)
    assert await types(town, pair[1]) == [IN_ERROR] * 2
    town.do("UPDATE decisions SET in_error = false WHERE organization = %s", pair[1])
    assert await types(town, pair[1]) == [IN_ERROR] * 2, "withheld is for good"
    assert [len(asked(town, each, "inbox")) for each in (made, need)] == [1, 1]


async def test_there_is_no_story_of_it_any_more_not_even_of_a_member_without_a_word_of_its_own(town: Hooked) -> None:
    of = await household(town, "son")
    path = f"/inbox/referrals/{of.id}"
    assert (await town.call(of.receiver, "GET", path)).status_code == 200
    await enter_in_error(town, of.mother, of.receiver, 3)
    is_problem(await town.call(of.receiver, "GET", path), 404, "not-found")
    town.disclosing.say(of.son, "updated", named("son"))
    await town.publish()
    await wait_decided(town, of, 4)
    is_problem(await town.call(of.receiver, "GET", path), 404, "not-found")
    assert await types(town, of.receiver) == [IN_ERROR]
    assert len(asked(town, of.son, "inbox")) == 1


async def test_another_referral_of_the_same_client_goes_on(town: Hooked) -> None:
    pair = town.pair()
    made = town.referral(pair)
    other = town.disclosing.refer(made.client_id, *pair, {"identity": {"first_name": "Rosalind"}})
    await town.publish()
    await enter_in_error(town, made, pair[1], 3)
    assert await types(town, pair[1]) == ["referral.requested", IN_ERROR]
    (item,) = [each for each in (await town.get(pair[1], "/inbox"))["items"] if each["type"] != IN_ERROR]
    assert item["data"]["referral_id"] == other.id
