"""Requests: whoever asks takes no bed before the shelter has said yes, and whoever is refused gives none back."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from msgspec.structs import replace

from policy import canonical
from schemas.beds import HoldEvents, HoldPlaced
from services.kit.broker import read_all
from services.kit.topics import load
from tests.conftest import Databases
from tests.support.bed_holders import double_holders
from tests.support.governance import is_problem
from tests.support.shelter import OTHER, OUTREACH, SHELTER, Shelter, opened
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.asyncio(loop_scope="module")
EVENT = msgspec.json.Decoder(HoldEvents)
ASKED: dict[str, Any] = {"hold_policy": "request"}
QUIET: dict[str, Any] = {"shown": "yes_no"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shelter(postgres: Databases) -> AsyncIterator[Shelter]:
    async with opened(postgres.create_database("shelter_beds")) as found, found.serving():
        yield found


async def test_several_ask_for_the_same_beds_and_whoever_gets_the_yes_has_them(shelter: Shelter) -> None:
    unit = await shelter.unit(2, **ASKED)
    first, second = await shelter.hold(unit, beds=2), await shelter.hold(unit, OTHER, beds=2)
    assert [(hold["state"], hold["beds"], hold["bed_ids"]) for hold in (first, second)] == [("requested", 2, [])] * 2
    assert await shelter.counts(unit) == (2, 0, 0, 0)
    is_problem(await shelter.post(OUTREACH, f"/holds/{first['id']}/extension"), 409, "hold-ended")
    is_problem(await shelter.answer(first, accept=True, organization=OUTREACH), 404, "not-found")
    yes = (await shelter.answer(second, accept=True)).json()
    assert (yes["state"], yes["beds"], len(yes["bed_ids"])) == ("placed", 2, 2)
    assert yes["expires_at"] > second["expires_at"]  # whoever waited must still have time to come
    assert await shelter.counts(unit) == (0, 2, 0, 0)
    assert [(said.available, said.held) for said in await shelter.said_of(unit)] == [(2, 0), (0, 2)]
    # Without the beds for a yes the request stands, until there are some.
    is_problem(await shelter.answer(first, accept=True), 409, "no-free-bed")
    assert await shelter.state_of(first["id"]) == ("requested", None)
    is_problem(await shelter.answer(second, accept=False), 409, "hold-ended")
    await shelter.let_go(OTHER, second["id"])
    assert (await shelter.answer(first, accept=True)).json()["state"] == "placed"
    assert await shelter.steps(first["id"]) == [("hold.requested", None), ("hold.placed", None)]


async def test_nobody_asks_for_more_than_there_is_or_more_often_than_allowed(shelter: Shelter) -> None:
    unit = await shelter.unit(2, **ASKED, max_open_holds=2)
    asked = {"unit_id": unit, "minutes": 30}
    is_problem(await shelter.post(OUTREACH, "/holds", asked | {"beds": 3}), 409, "no-free-bed")
    requests = [await shelter.hold(unit) for _ in range(2)]
    is_problem(await shelter.post(OUTREACH, "/holds", asked), 409, "too-many-holds")
    await shelter.let_go(OUTREACH, requests[0]["id"])
    await shelter.hold(unit)
    await shelter.patch(SHELTER, f"/units/{unit}", status="no-capacity")
    is_problem(await shelter.post(OTHER, "/holds", asked), 409, "no-free-bed")


@pytest.mark.parametrize("end", ["refused", "cancelled", "expired", "referral_declined", "referral_entered_in_error"])
async def test_a_request_that_ends_gives_nothing_back_for_it_took_nothing(shelter: Shelter, end: str) -> None:
    unit, referral = await shelter.unit(3, **ASKED), f"referral-of-{end}"
    taken = await shelter.hold(unit, OTHER)
    await shelter.answer(taken, accept=True)
    hold = await shelter.hold(unit, beds=2, referral_id=referral)
    if end == "refused":
        assert (await shelter.answer(hold, accept=False)).json()["beds"] == 2
    elif end == "cancelled":
        await shelter.let_go(OUTREACH, hold["id"])
    elif end == "expired":
        shelter.sql("UPDATE holds SET expires_at = now() WHERE id = %s", hold["id"])
    else:
        await shelter.end_referral(referral, end.removeprefix("referral_"))
    state = ("expired", None) if end == "expired" else ("released", end)
    await until_state(shelter, hold["id"], state)
    assert await shelter.counts(unit) == (2, 1, 0, 0)
    assert len(await shelter.said_of(unit)) == 2  # that there is a unit, and the other's bed
    said = {"expired": ("hold.expired", None), "refused": ("hold.released", "refused")}
    assert await shelter.steps(hold["id"]) == [
        ("hold.requested", None),
        said.get(end, ("hold.released", "cancelled")),
    ]


async def test_a_step_without_a_bed_is_said_once_under_the_unit(shelter: Shelter) -> None:
    unit = await shelter.unit(3, **ASKED)
    hold = await shelter.hold(unit, beds=3)
    await shelter.let_go(OUTREACH, hold["id"])
    await shelter.all_said()
    starts = dict.fromkeys(range(load()["bed-holds"].partitions), 0)
    records = [each async for run in read_all(shelter.bootstrap, "bed-holds", starts) for each in run]
    steps = [(each.key, EVENT.decode(each.value or b"")) for each in records]
    of_hold = [(key, event) for key, event in steps if event.data.hold_id == hold["id"]]
    assert [(key, type(event).__struct_config__.tag) for key, event in of_hold] == [
        (unit.encode(), "hold.requested"),
        (unit.encode(), "hold.released"),
    ]
    for _, event in of_hold:
        assert (event.data.bed_id, event.data.order, event.data.bed_ids, event.data.beds) == (None, None, (), 3)


async def test_who_is_let_in_without_an_answer_has_it_by_that(shelter: Shelter) -> None:
    unit = await shelter.unit(2, **ASKED)
    hold, other = await shelter.hold(unit, beds=2), await shelter.hold(unit, OTHER)
    came = await shelter.post(SHELTER, f"/holds/{hold['id']}/check-in", {"door_code": hold["door_code"]})
    assert (came.json()["state"], len(came.json()["bed_ids"])) == ("checked_in", 2)
    assert await shelter.counts(unit) == (0, 0, 2, 0)
    steps = [("hold.requested", None), ("hold.placed", None), ("hold.checked_in", None)]
    assert await shelter.steps(hold["id"]) == steps
    code = {"door_code": other["door_code"]}
    is_problem(await shelter.post(SHELTER, f"/holds/{other['id']}/check-in", code), 409, "no-free-bed")
    assert double_holders(await shelter.values("bed-holds")) == []


async def test_a_quiet_unit_gives_what_there_is_and_the_yes_tells_how_many(shelter: Shelter) -> None:
    unit = await shelter.unit(2, **QUIET)
    hold = await shelter.hold(unit, beds=4)
    assert (hold["beds"], hold["bed_ids"]) == (4, [])
    at_the_desk = (await shelter.get(SHELTER, f"/holds/{hold['id']}")).json()
    assert (at_the_desk["beds"], at_the_desk["bed_ids"]) == (4, [])
    assert len((await shelter.answer(hold, accept=True)).json()["bed_ids"]) == 2
    placed = (await shelter.get(OUTREACH, f"/holds/{hold['id']}")).json()
    assert (placed["beds"], placed["bed_ids"]) == (2, [])
    is_problem(await shelter.patch(SHELTER, f"/units/{unit}", hold_policy="instant"), 422, "invalid-body", "body")


async def test_what_a_unit_shows_when_it_says_yes_counts(shelter: Shelter) -> None:
    """It had shown its counts when it was asked: which beds it gives now is its own to know."""
    unit = await shelter.unit(2, **ASKED)
    hold = await shelter.hold(unit, beds=2)
    await shelter.patch(SHELTER, f"/units/{unit}", **QUIET)
    assert len((await shelter.answer(hold, accept=True)).json()["bed_ids"]) == 2
    assert (await shelter.get(OUTREACH, f"/holds/{hold['id']}")).json()["bed_ids"] == []
    said = [EVENT.decode(value) for value in await shelter.values("bed-holds") if hold["id"].encode() in value]
    assert {event.data.discreet for event in said if isinstance(event, HoldPlaced)} == {True}


async def test_a_count_from_before_the_yes_has_its_beds_among_the_empty_ones(shelter: Shelter) -> None:
    unit = await shelter.unit(5, **ASKED)
    waiting, hold = await shelter.hold(unit, OTHER, beds=3), await shelter.hold(unit, beds=2)
    counted_at = datetime.now(UTC).isoformat()
    await shelter.answer(hold, accept=True)
    counted = await shelter.census(SHELTER, unit, available=4, as_of=counted_at, includes_holds=False)
    assert (counted.json()["available"], counted.json()["held"], counted.json()["occupied"]) == (2, 2, 1)
    assert await shelter.state_of(hold["id"]) == ("placed", None)
    assert (await shelter.get(OTHER, f"/holds/{waiting['id']}")).json()["state"] == "requested"


async def test_asking_keeps_no_unit_open(shelter: Shelter) -> None:
    unit = await shelter.unit(2, **ASKED)
    placed, asked = await shelter.hold(unit, OTHER), await shelter.hold(unit)
    await shelter.answer(placed, accept=True)
    is_problem(await shelter.patch(SHELTER, f"/units/{unit}", withdrawn=True), 409, "beds-in-use", "withdrawn")
    assert await shelter.state_of(asked["id"]) == ("requested", None)
    await shelter.let_go(OTHER, placed["id"])
    assert (await shelter.patch(SHELTER, f"/units/{unit}", withdrawn=True)).status_code == 200
    assert await shelter.state_of(asked["id"]) == ("released", "refused")
    assert await shelter.steps(asked["id"]) == [("hold.requested", None), ("hold.released", "refused")]


async def test_the_checker_lets_requests_be_and_finds_two_that_got_one_bed(shelter: Shelter) -> None:
    unit = await shelter.unit(1, **ASKED)
    first, second = await shelter.hold(unit), await shelter.hold(unit, OTHER)
    await shelter.answer(first, accept=True)
    await shelter.let_go(OTHER, second["id"])
    values = await shelter.values("bed-holds")
    assert double_holders(values) == []
    events = {
        (event.data.hold_id, type(event).__struct_config__.tag): event
        for event in map(EVENT.decode, values)
        if event.data.unit_id == unit
    }
    asked, placed = events[first["id"], "hold.requested"], events[first["id"], "hold.placed"]
    let_go = events[second["id"], "hold.released"]

    def faults(event: HoldEvents, **changed: Any) -> list[str]:
        """What is found when this is said as well."""
        return double_holders([*values, canonical.encode(replace(event, data=replace(event.data, **changed)))])

    assert faults(asked) == []
    assert any("held" in fault for fault in faults(placed, hold_id=second["id"], order=2))
    assert any("nobody holds" in fault for fault in faults(asked, bed_id="another", order=1))
    assert any("without a bed" in fault for fault in faults(placed, bed_id=None, order=None))
    assert any("it had beds" in fault for fault in faults(let_go, hold_id=first["id"]))


async def until_state(shelter: Shelter, hold_id: str, expected: tuple[str, str | None]) -> None:
    async def reached() -> bool:
        return await shelter.state_of(hold_id) == expected

    await wait_until_async(reached, what=f"the hold to be {expected}")
