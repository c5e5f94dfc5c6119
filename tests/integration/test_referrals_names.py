"""A household whose head is known by reference alone and whose child is named: nothing here links the two."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, get_args

import pytest
import pytest_asyncio

from schemas.records import ConsentExcluded, ReferralEnteredInError
from services.referrals.bodies import TransitionTo
from tests.conftest import Databases
from tests.support.chronicle import OUTREACH, SHELTER
from tests.support.governance import is_problem
from tests.support.tables import direct
from tests.support.town import Town, founded
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.asyncio(loop_scope="module")
NAME = {"first_name": "Rosa"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(postgres: Databases) -> AsyncIterator[Town]:
    async with founded(postgres.create_database("referrals")) as found:
        await found.start()
        yield found
        await found.stop()


@dataclass(frozen=True)
class Household:
    """A referral of a mother and her child; the shelter may know the mother by `reference`."""

    referral: str
    reference: str
    mother: str
    child: str


async def household(town: Town, *granting: str, excluding: bool = False) -> Household:
    """Refer a household of which those `granting` consented before; the mother always keeps her reference.

    `excluding`: she wants nothing to go to the shelter.
    """
    clients = {name: town.keys.client(OUTREACH) for name in ("mother", "child")}
    for name in granting:
        await town.grant(clients[name], "identity")
    if excluding:
        await town.grant(clients["mother"], event=ConsentExcluded, purposes=(), expires_at=None)
    members = [town.member(clients["mother"], 1, identity=NAME), town.member(clients["child"], 2, identity=NAME)]
    referral = await town.refer(members=members)
    verdict = "permit" if "mother" in granting else "not_sent" if excluding else "deidentified"
    delivery = "withheld" if excluding else "pending"
    reference = str((await town.crossing(referral, verdict=verdict, delivery=delivery))["reference"])
    if "child" in granting:
        await town.shown(SHELTER, referral, "requested")
    return Household(referral, reference, **clients)


async def reach(town: Town, of: Household, client_id: str, **changes: Any) -> None:
    """Let the newest boxes about a client reach the shelter, by default as a permit."""
    events = await town.placed(of.referral)
    placed = [place for place, event in events if event.data.client_id == client_id and event.data.sealed]
    delivery = {"verdict": "permit", "categories": ("identity",)} | changes
    await town.delivered(f"{placed[-1]}/{SHELTER}", client_id, **delivery)


async def failure_read(town: Town, client_id: str) -> None:
    """Wait until what did not arrive is noted."""

    def noted() -> bool:
        with direct(town.settings.database_url) as connection:
            query = "SELECT FROM decisions WHERE client_id = %s AND trouble = 'failed'"
            return connection.execute(query, [client_id]).fetchone() is not None

    await wait_until_async(noted, what="the failure to be noted")


async def listed(town: Town, of: Household, **parameters: str) -> list[dict[str, str]]:
    """What the shelter's list says of this household, under whatever name."""
    answer = await town.get(SHELTER, "/referrals", limit="200", **parameters)
    return [item for item in answer.json()["items"] if item["id"] in {of.referral, of.reference}]


async def wait_listed(town: Town, of: Household, *names: str) -> None:
    async def found() -> bool:
        return sorted(item["id"] for item in await listed(town, of)) == sorted(names)

    await wait_until_async(found, what=f"{len(names)} names in the list")


async def decisions_read(town: Town) -> None:
    """Wait until the service has read all that was decided by now."""
    assert await town.app.state.desk.disclosures.reached(10.0)


async def attempts(town: Town, name: str) -> set[tuple[int, str]]:
    """All that the shelter is answered when it tries every transition under a name."""
    answers = [await town.move(SHELTER, name, to) for to in get_args(TransitionTo)]
    return {(answer.status_code, answer.text) for answer in answers}


async def test_a_member_s_name_moves_nothing_and_answers_the_same_whatever_the_referral_s_status(town: Town) -> None:
    of = await household(town, "child")
    answers = await attempts(town, of.referral)
    for to in ("accepted", "started", "on_hold", "completed"):
        assert (await town.move(SHELTER, of.reference, to)).json() == {"id": of.reference, "status": to}
        answers |= await attempts(town, of.referral)
    assert len(answers) == 1
    is_problem(await town.move(SHELTER, of.referral, "accepted"), 409, "invalid-transition", "to")


async def test_a_member_s_name_shows_nothing_of_what_was_done_under_the_head_s(town: Town) -> None:
    of = await household(town, "child")
    await reach(town, of, of.child)
    await wait_listed(town, of, of.referral, of.reference)
    assert (await town.move(SHELTER, of.reference, "accepted")).status_code == 200
    more = {"client_id": of.child, "segments": {"health": {"due_date": "2027-03-01"}}}
    assert (await town.post(OUTREACH, f"/referrals/{of.referral}/segments", more)).status_code == 200
    said = [event for event in await town.wait_events(of.referral, 4) if event.data.client_id == of.child]
    assert [(event.data.referral.version, event.data.referral.status) for event in said] == [
        (1, "requested"),
        (2, "requested"),
    ]
    await town.decided(said[-1])
    await decisions_read(town)
    assert (await town.get(SHELTER, f"/referrals/{of.referral}")).json() == {"id": of.referral, "status": "requested"}
    assert await listed(town, of, status="accepted") == [{"id": of.reference, "status": "accepted"}]
    assert await listed(town, of, status="requested") == [{"id": of.referral, "status": "requested"}]
    assert (await town.own_view(of.referral))["version"] == 3


async def test_the_names_become_one_only_when_a_permit_of_the_head_has_arrived(town: Town) -> None:
    of = await household(town, "child")
    await reach(town, of, of.child)
    await town.grant(of.mother, "identity")
    await town.crossing(of.referral, verdict="permit")  # so far in the boundary's words alone
    await decisions_read(town)
    assert (await town.move(SHELTER, of.reference, "accepted")).json() == {"id": of.reference, "status": "accepted"}
    assert (await town.get(SHELTER, f"/referrals/{of.referral}")).json() == {"id": of.referral, "status": "requested"}
    is_problem(await town.move(SHELTER, of.referral, "started"), 409, "invalid-transition", "to")
    assert sorted(item["status"] for item in await listed(town, of)) == ["accepted", "requested"]
    await reach(town, of, of.mother, state="withheld", verdict="withheld", categories=(), reason="revoked")
    await reach(town, of, of.mother, state="released", endpoint_id="third")
    await reach(town, of, of.mother, state="failed", endpoint_id="third")
    await failure_read(town, of.mother)
    await wait_listed(town, of, of.referral, of.reference)
    await reach(town, of, of.mother, endpoint_id="another")
    await wait_listed(town, of, of.referral)
    for name in (of.referral, of.reference):
        assert (await town.get(SHELTER, f"/referrals/{name}")).json() == {"id": name, "status": "accepted"}
    assert (await town.move(SHELTER, of.referral, "started")).json() == {"id": of.referral, "status": "started"}
    more = {"client_id": of.child, "segments": {"health": {"due_date": "2027-03-01"}}}
    assert (await town.post(OUTREACH, f"/referrals/{of.referral}/segments", more)).status_code == 200
    events = await town.wait_events(of.referral, 6)
    said = [event.data.referral for event in events if event.data.client_id == of.child]
    assert [(each.version, each.status) for each in said] == [(1, "requested"), (2, "started")]


async def test_whoever_was_just_told_of_the_head_by_its_id_may_move_it_at_once(town: Town) -> None:
    of = await household(town, "mother", "child")
    await reach(town, of, of.child)
    await wait_listed(town, of, of.referral, of.reference)
    moved = asyncio.create_task(town.move(SHELTER, of.referral, "accepted"))
    await reach(town, of, of.mother)
    assert (await moved).json() == {"id": of.referral, "status": "accepted"}


async def test_an_error_is_told_of_each_member_unless_that_would_link_the_head_known_by_reference(town: Town) -> None:
    apart = await household(town, "child")
    assert (await town.move(OUTREACH, apart.referral, "entered_in_error")).status_code == 200
    await town.shown(SHELTER, apart.reference, "entered_in_error")
    assert (await town.shown(SHELTER, apart.referral, "requested"))["id"] == apart.referral
    whole = await household(town, "mother", "child")
    await reach(town, whole, whole.mother)
    await wait_listed(town, whole, whole.referral)
    assert (await town.move(OUTREACH, whole.referral, "entered_in_error")).status_code == 200
    unknown = await household(town, "child", excluding=True)
    assert (await town.move(OUTREACH, unknown.referral, "entered_in_error")).status_code == 200
    await town.shown(SHELTER, unknown.referral, "entered_in_error")
    for of, told in (
        (apart, {apart.mother}),
        (whole, {whole.mother, whole.child}),
        (unknown, {unknown.mother, unknown.child}),
    ):
        events = [each for each in await town.events(of.referral) if isinstance(each, ReferralEnteredInError)]
        assert {each.data.client_id for each in events} == told
        assert {each.data.client_id for each in events if each.data.recipients[0].reference} == {of.mother}


async def test_an_answer_names_a_referral_as_it_was_asked_and_a_list_by_its_id_only_once_that_arrived(
    town: Town,
) -> None:
    of = await household(town, "mother")
    for name in (of.referral, of.reference):
        assert (await town.get(SHELTER, f"/referrals/{name}")).json() == {"id": name, "status": "requested"}
    assert await listed(town, of) == [{"id": of.reference, "status": "requested"}]
    await reach(town, of, of.mother, verdict="deidentified", categories=("need",))
    await reach(town, of, of.mother, state="failed", attempt=2)
    assert (await town.move(SHELTER, of.reference, "accepted")).json() == {"id": of.reference, "status": "accepted"}
    await town.crossing(of.referral, verdict="deidentified")
    assert await listed(town, of) == [{"id": of.reference, "status": "accepted"}]
    await reach(town, of, of.mother, attempt=3)
    await wait_listed(town, of, of.referral)


async def test_a_member_of_whom_nothing_arrived_is_not_listed(town: Town) -> None:
    of = await household(town, "child")
    assert await listed(town, of) == [{"id": of.reference, "status": "requested"}]
    await reach(town, of, of.child)
    await wait_listed(town, of, of.referral, of.reference)


async def test_a_page_goes_on_where_the_last_one_ended_though_names_came_meanwhile(town: Town) -> None:
    made = [await household(town, "mother") for _ in range(5)]
    found: list[str] = []
    after: dict[str, str] = {}
    for number in range(200):
        if number < len(made):
            await reach(town, made[number], made[number].mother)
            await wait_listed(town, made[number], made[number].referral)
        page = (await town.get(SHELTER, "/referrals", limit="1", **after)).json()
        found += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert all(len({each.referral, each.reference} & set(found)) == 1 for each in made)
    assert len(found) == len(set(found))
