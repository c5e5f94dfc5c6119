"""A household's story: exactly the members that its receiver may know now, and nothing that tells of another."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import httpx
import pytest
import pytest_asyncio

from services.kit.keys import random_id
from services.kit.problems import Problem
from services.webhooks.model import RETRY_SCHEDULE
from tests.conftest import Databases
from tests.support.custodian import UNMADE, Answer, Asked, as_decided, closed, nothing, only_the_need, refused
from tests.support.disclosing import NEED
from tests.support.governance import is_problem
from tests.support.hooked import Hooked, hooked
from tests.support.households import NAMES, Household, household, named, wait_decided
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(postgres: Databases) -> AsyncIterator[Hooked]:
    async with hooked(postgres.create_database("webhooks")) as found, found.serving():
        yield found


async def read(town: Hooked, of: Household, name: str | None = None) -> httpx.Response:
    return await town.call(of.receiver, "GET", f"/inbox/referrals/{name or of.id}")


async def story(town: Hooked, of: Household) -> dict[str, Any]:
    answer = await read(town, of)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def settled(town: Hooked, client_id: str, state: str, count: int) -> bool:
    return town.custodian.settlements(client_id) == [[state]] * count


async def members(town: Hooked, of: Household) -> list[str]:
    """The client ids that the story shows."""
    return [member["client_id"] for member in (await story(town, of))["members"]]


async def test_the_household_is_told_as_one_with_who_may_be_known(town: Hooked) -> None:
    of = await household(town, "mother", "son")
    answer = await read(town, of)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    told = answer.json()
    assert told.keys() == {
        "referral_id",
        "reference",
        "publisher",
        "purpose",
        "status",
        "call_back",
        "head_of_household",
        "members",
    }
    assert (told["referral_id"], told["reference"], told["status"]) == (of.id, of.reference, "requested")
    assert told["head_of_household"] == of.mother.client_id
    assert [member["client_id"] for member in told["members"]] == [of.mother.client_id, of.son.client_id]
    assert [member["shared"] for member in told["members"]] == [{"need": NEED, **named("mother")}, named("son")]
    for text in (of.daughter.client_id, NAMES["daughter"]):
        assert text not in answer.text


async def test_each_member_is_told_as_by_the_newest_message(town: Hooked) -> None:
    of = await household(town, "mother", "son", "daughter")
    items = (await town.get(of.receiver, "/inbox"))["items"]
    messages = {item["data"]["client_id"]: item["data"] for item in items}
    for member in (await story(town, of))["members"]:
        assert member == {name: messages[member["client_id"]][name] for name in member}
    town.disclosing.say(of.son, "updated", {"identity": {"first_name": "Diego Luis"}})
    await town.publish()
    await wait_decided(town, of, 4)
    before = len(town.custodian.of(of.son.client_id))
    (son,) = [each for each in (await story(town, of))["members"] if each["client_id"] == of.son.client_id]
    assert (son["shared"], son["referral_version"]) == ({"identity": {"first_name": "Diego Luis"}}, 2)
    (asked,) = town.custodian.of(of.son.client_id)[before:]
    assert (asked.event_type, asked.channel) == ("referral.updated", "inbox")


async def test_the_head_known_by_reference_alone_cannot_be_found_by_a_members_id(town: Hooked) -> None:
    of = await household(town, "son")
    answer = await read(town, of)
    told = answer.json()
    assert [member["client_id"] for member in told["members"]] == [of.son.client_id]
    assert not {"head_of_household", "reference"} & told.keys()
    for text in (of.mother.client_id, of.reference, "need", NAMES["mother"]):
        assert text not in answer.text
    is_problem(await read(town, of, of.reference), 404, "not-found")
    assert town.custodian.of(of.mother.client_id) == [], "who was never permitted is not even asked about"


async def test_a_head_cut_to_the_need_is_not_in_the_story_and_nothing_of_it_counts_as_sent(town: Hooked) -> None:
    of = await household(town, "mother", "son")
    town.custodian.rules[of.mother.client_id] = only_the_need
    answer = await read(town, of)
    assert [member["client_id"] for member in answer.json()["members"]] == [of.son.client_id]
    for text in (of.mother.client_id, of.reference, "need"):
        assert text not in answer.text
    await wait_until_async(
        lambda: town.custodian.settlements(of.mother.client_id) == [["not_sent"]], what="it to be settled"
    )
    (record,) = await town.wait_told(of.mother.client_id, "not_sent")
    assert (record.verdict, record.channel) == ("deidentified", "inbox")
    del town.custodian.rules[of.mother.client_id]
    assert await members(town, of) == [of.mother.client_id, of.son.client_id], "in this answer only"


async def test_who_may_be_known_no_more_is_gone_until_there_is_something_new(town: Hooked) -> None:
    of = await household(town, "mother", "son")
    town.custodian.rules[of.son.client_id] = nothing
    assert await members(town, of) == [of.mother.client_id]
    assert await members(town, of) == [of.mother.client_id]
    assert len(town.custodian.of(of.son.client_id)) == 1, "withheld is for good"
    (record,) = await town.wait_told(of.son.client_id, "withheld")
    assert (record.channel, record.reason) == ("inbox", "revoked")
    del town.custodian.rules[of.son.client_id]
    assert await members(town, of) == [of.mother.client_id]
    town.disclosing.say(of.son, "updated", named("son"))
    await town.publish()
    await wait_decided(town, of, 3)
    assert await members(town, of) == [of.mother.client_id, of.son.client_id]


async def test_an_older_permit_does_not_take_the_place_of_one_withheld(town: Hooked) -> None:
    of = await household(town, "mother", "son")
    town.disclosing.say(of.son, "updated", named("son"))
    newest = of.last_decision(town)
    town.custodian.rules[newest] = nothing
    await town.publish()
    await wait_decided(town, of, 3)
    assert await members(town, of) == [of.mother.client_id]
    assert await members(town, of) == [of.mother.client_id]
    assert [each.decision_id for each in town.custodian.of(of.son.client_id)] == [newest]


async def test_where_nothing_may_be_shown_it_looks_as_if_there_were_nothing(town: Hooked) -> None:
    of, other = await household(town, "mother", "son"), await household(town, "son")
    town.custodian.rules |= dict.fromkeys((of.mother.client_id, of.son.client_id), nothing)
    nowhere = await read(town, of, random_id())
    is_problem(nowhere, 404, "not-found")
    for answer in (
        await read(town, of),
        await read(town, of),
        await read(town, of, other.id),
        await town.call(other.mother.originator.organization, "GET", f"/inbox/referrals/{other.id}"),
    ):
        assert (answer.status_code, answer.content) == (404, nowhere.content)
        assert answer.headers.keys() == nowhere.headers.keys()


async def test_the_status_is_the_one_last_told_of_a_head_who_is_shown(town: Hooked) -> None:
    of = await household(town, "mother", "son")
    town.disclosing.say(of.mother, "cancelled")
    status = of.last_decision(town)
    await town.publish()
    await wait_decided(town, of, 3)
    assert (await story(town, of))["status"] == "cancelled"
    town.custodian.rules[status] = closed
    assert (await story(town, of))["status"] == "closed"
    town.custodian.rules |= {of.mother.client_id: nothing, status: as_decided}
    assert (await story(town, of))["status"] == "requested", "of the head's end nothing is told without the head"
    asked = [each for each in town.custodian.of(of.mother.client_id) if each.decision_id == status]
    await wait_until_async(
        lambda: town.custodian.settlements(of.mother.client_id)[-1] == ["not_sent"], what="the status to be settled"
    )
    await story(town, of)
    assert len([each for each in town.custodian.of(of.mother.client_id) if each.decision_id == status]) == len(asked)


async def test_each_story_is_released_and_settled_like_a_page_of_the_inbox(town: Hooked) -> None:
    of = await household(town, "mother", "son")
    for _ in range(2):
        await story(town, of)
    await town.get(of.receiver, "/inbox")
    for client_id in (of.mother.client_id, of.son.client_id):
        assert [(each.channel, each.attempt) for each in town.custodian.of(client_id)] == [
            ("inbox", attempt) for attempt in (1, 2, 3)
        ]
        await wait_until_async(partial(settled, town, client_id, "delivered", 3), what="all to be settled")
        records = await town.wait_told(client_id, *["released", "delivered"] * 3)
        assert len({record.id for record in records}) == 6
        assert {record.consents for record in records} == {(f"consent of {client_id}",)}


async def test_without_the_custodian_there_is_no_story(town: Hooked) -> None:
    of = await household(town, "mother", "son")

    def away(_: Asked) -> Answer:
        raise Problem("dependency-down")

    town.custodian.rules[of.son.client_id] = away
    answer = await read(town, of)
    is_problem(answer, 503, "dependency-down")
    assert answer.headers["retry-after"]
    assert of.mother.client_id not in answer.text
    await wait_until_async(
        lambda: town.custodian.settlements(of.mother.client_id) == [["not_sent"]], what="the mother's to be settled"
    )
    del town.custodian.rules[of.son.client_id]
    assert await members(town, of) == [of.mother.client_id, of.son.client_id]


async def test_past_its_leases_a_story_is_not_sent(town: Hooked) -> None:
    of = await household(town, "mother", "son")

    def stand_still(asked: Asked) -> None:
        if asked.client_id == of.son.client_id:
            town.clock.ahead += 2.0

    town.custodian.before_answering = stand_still
    is_problem(await read(town, of), 503, "dependency-down")
    town.custodian.before_answering = lambda _: None
    await wait_until_async(lambda: town.custodian.settlements(of.son.client_id)[-1] == ["not_sent"], what="settled")
    assert len(await members(town, of)) == 2


@pytest.mark.parametrize("reason", UNMADE)
async def test_while_of_a_member_no_message_can_be_made_there_is_no_story(town: Hooked, reason: str) -> None:
    """Not one without the son, which would look whole; nor later, while the son is not due to be tried again."""
    of = await household(town, "mother", "son")
    town.custodian.rules[of.son.client_id] = UNMADE[reason]
    is_problem(await read(town, of), 503, "dependency-down")
    (record,) = await town.wait_told(of.son.client_id, "not_sent")
    assert record.reason == reason
    await town.wait_told(of.mother.client_id, "not_sent")
    del town.custodian.rules[of.son.client_id]
    is_problem(await read(town, of), 503, "dependency-down")
    assert len(town.custodian.of(of.son.client_id)) == 1, "not asked about before it is due, as in the inbox"
    assert [each.attempt for each in town.custodian.of(of.mother.client_id)] == [1]
    town.do(
        "UPDATE decisions SET inbox_due_at = now() WHERE organization = %s AND inbox_due_at IS NOT NULL", of.receiver
    )

    async def both() -> bool:
        answer = await read(town, of)
        return answer.status_code == 200 and len(answer.json()["members"]) == 2

    await wait_until_async(both, what="the son to be told again")


async def test_nor_is_there_one_without_the_newest_status_or_after_a_member_was_given_up(town: Hooked) -> None:
    of = await household(town, "mother", "son")
    town.disclosing.say(of.mother, "cancelled")
    status = of.last_decision(town)
    town.custodian.rules[status] = refused
    await town.publish()
    await wait_decided(town, of, 3)
    for _ in range(2):
        is_problem(await read(town, of), 503, "dependency-down")
    given_up = (
        "UPDATE decisions SET inbox_due_at = NULL, inbox_failures = %s WHERE organization = %s AND client_id = %s"
    )
    other = await household(town, "mother", "son")
    town.do(given_up, len(RETRY_SCHEDULE), other.receiver, other.son.client_id)
    is_problem(await read(town, other), 503, "dependency-down")
    town.disclosing.say(other.son, "updated", named("son"))
    await town.publish()
    await wait_decided(town, other, 3)
    assert await members(town, other) == [other.mother.client_id, other.son.client_id], "a newer decision says it anew"


async def test_rows_of_before_are_read_as_new_ones_are_written(town: Hooked) -> None:
    """What the migration makes of a row, and what the reader writes beside it."""
    await household(town, "mother", "son")
    read_from_it = [
        f"convert_from(told, 'UTF8')::json #>> '{{{path}}}'"
        for path in ("event,data,referral,id", "event,data,client_id", "decision,verdict")
    ]
    same = f"(referral_id, client_id, verdict) = ({', '.join(read_from_it)})"
    assert town.rows(f"SELECT DISTINCT {same} FROM decisions") == [(True,)]  # noqa: S608 - of the lines above
