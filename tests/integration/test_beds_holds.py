"""Holds: who gets a bed, for how long, who may end it, and that no bed ever has two holders."""

import asyncio
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from policy import canonical
from schemas.beds import HoldEvents
from services.kit.auth import Principal, Scope
from services.kit.database import Database
from services.kit.problems import Problem
from services.shelter_beds import holds, worker
from services.shelter_beds.bodies import NewHold
from tests.conftest import Databases
from tests.support.bed_holders import double_holders
from tests.support.governance import is_problem
from tests.support.shelter import OTHER, OUTREACH, SHELTER, Shelter, opened
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.asyncio(loop_scope="module")
EVENT = msgspec.json.Decoder(HoldEvents)
TIMES = int(os.environ.get("LAST_BED_TIMES", "10"))  # more in `make soak`


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shelter(postgres: Databases) -> AsyncIterator[Shelter]:
    async with opened(postgres.create_database("shelter_beds")) as found, found.serving():
        yield found


async def test_a_hold_takes_beds_at_once_and_gives_a_code_to_say(shelter: Shelter) -> None:
    unit = await shelter.unit(3)
    hold = await shelter.hold(unit, beds=2, referral_id="referral-1")
    assert re.fullmatch(r"[A-Z]{3,8}-[1-9][0-9]", hold["door_code"])
    assert (hold["state"], len(hold["bed_ids"]), hold["holder"]) == ("placed", 2, OUTREACH)
    lasts = datetime.fromisoformat(hold["expires_at"]) - datetime.fromisoformat(hold["created_at"])
    assert lasts == timedelta(minutes=30)
    assert await shelter.counts(unit) == (1, 2, 0, 0)
    said = (await shelter.said_of(unit))[-1]
    assert (said.available, said.held) == (1, 2)
    assert await shelter.steps(hold["id"]) == [("hold.placed", None)]


async def test_all_beds_of_a_household_or_none(shelter: Shelter) -> None:
    unit = await shelter.unit(3)
    await shelter.hold(unit, beds=2)
    is_problem(await shelter.post(OTHER, "/holds", {"unit_id": unit, "beds": 2, "minutes": 30}), 409, "no-free-bed")
    assert await shelter.counts(unit) == (1, 2, 0, 0)


async def test_what_the_units_policy_refuses(shelter: Shelter) -> None:
    unit = await shelter.unit(9, max_minutes=45, max_open_holds=2)
    long = {"unit_id": unit, "minutes": 46}
    is_problem(await shelter.post(OUTREACH, "/holds", long), 422, "invalid-body", "minutes")
    is_problem(await shelter.post(OUTREACH, "/holds", {"unit_id": "nobody", "minutes": 5}), 404, "not-found")
    is_problem(await shelter.post(OUTREACH, "/holds", {"unit_id": unit, "minutes": 0}), 422, "invalid-body", "minutes")
    for _ in range(2):
        await shelter.hold(unit)
    is_problem(await shelter.post(OUTREACH, "/holds", {"unit_id": unit, "minutes": 45}), 409, "too-many-holds")
    await shelter.hold(unit, OTHER)  # each organization has its own
    closed = await shelter.unit(1, hold_policy="none")
    is_problem(await shelter.post(OUTREACH, "/holds", {"unit_id": closed, "minutes": 5}), 409, "holds-not-taken")


@pytest.mark.parametrize("status", ["no-capacity", "waitlist"])
async def test_no_bed_is_held_where_the_shelter_takes_nobody(shelter: Shelter, status: str) -> None:
    unit = await shelter.unit(2, status=status)
    is_problem(await shelter.post(OUTREACH, "/holds", {"unit_id": unit, "minutes": 30}), 409, "no-free-bed")
    await shelter.patch(SHELTER, f"/units/{unit}", status="additional-assessment-required")
    await shelter.hold(unit)


async def test_who_held_extended_and_let_go_is_kept_and_each_organization_sees_its_own_people(shelter: Shelter) -> None:
    unit = await shelter.unit(1)
    hold = await shelter.hold(unit, actor={"id": "nav-9", "role": "navigator"})
    await shelter.post(OUTREACH, f"/holds/{hold['id']}/extension")
    await shelter.let_go(OUTREACH, hold["id"])
    seen = (await shelter.get(SHELTER, f"/units/{unit}/changes")).json()["items"]
    assert [each["what"] for each in seen] == ["registered", "held", "extended", "cancelled"]
    assert {(each["organization"], each["api_client"], each["actor"]) for each in seen[1:]} == {(OUTREACH, None, None)}
    kept = shelter.sql("SELECT actor FROM changes WHERE unit_id = %s AND what = 'held'", unit)
    assert kept == [({"id": "nav-9", "role": "navigator"},)]


async def test_the_holder_and_the_shelter_see_a_hold_and_nobody_else(shelter: Shelter) -> None:
    unit = await shelter.unit(1)
    hold = await shelter.hold(unit, referral_id="referral-2")
    assert (await shelter.get(OUTREACH, f"/holds/{hold['id']}")).json()["referral_id"] == "referral-2"
    at_the_shelter = (await shelter.get(SHELTER, f"/holds/{hold['id']}")).json()
    assert (at_the_shelter["door_code"], at_the_shelter["referral_id"]) == (hold["door_code"], None)
    said_at_the_door = hold["door_code"].lower().replace("-", " ")
    found = await shelter.get(SHELTER, "/holds", unit_id=unit, door_code=said_at_the_door)
    assert [each["id"] for each in found.json()["items"]] == [hold["id"]]
    is_problem(await shelter.get(SHELTER, "/holds", door_code="not a code"), 422, "invalid-parameter", "door_code")
    is_problem(await shelter.get(OTHER, f"/holds/{hold['id']}"), 404, "not-found")
    assert (await shelter.get(OTHER, "/holds", unit_id=unit)).json()["items"] == []
    is_problem(await shelter.let_go(OTHER, hold["id"]), 404, "not-found")
    is_problem(await shelter.post(OTHER, f"/holds/{hold['id']}/extension"), 404, "not-found")
    answer = {"door_code": hold["door_code"]}
    is_problem(await shelter.post(OUTREACH, f"/holds/{hold['id']}/check-in", answer), 404, "not-found")


async def test_check_in_by_code_takes_the_bed(shelter: Shelter) -> None:
    unit = await shelter.unit(2)
    hold = await shelter.hold(unit)
    path = f"/holds/{hold['id']}/check-in"
    other = "AMBER-10" if hold["door_code"] != "AMBER-10" else "AMBER-11"
    is_problem(await shelter.post(SHELTER, path, {"door_code": other}), 422, "wrong-door-code", "door_code")
    is_problem(await shelter.post(SHELTER, path, {"door_code": "??"}), 422, "invalid-body", "door_code")
    checked = await shelter.post(SHELTER, path, {"door_code": hold["door_code"]}, key="at the door")
    assert (checked.json()["state"], await shelter.counts(unit)) == ("checked_in", (1, 0, 1, 0))
    again = await shelter.post(SHELTER, path, {"door_code": hold["door_code"]}, key="at the door")
    assert again.json() == checked.json()
    is_problem(await shelter.post(SHELTER, path, {"door_code": hold["door_code"]}), 409, "hold-ended")
    is_problem(await shelter.let_go(OUTREACH, hold["id"]), 409, "hold-ended")
    assert await shelter.steps(hold["id"]) == [("hold.placed", None), ("hold.checked_in", None)]


async def test_one_extension(shelter: Shelter) -> None:
    hold = await shelter.hold(await shelter.unit(1), minutes=20)
    extended = (await shelter.post(OUTREACH, f"/holds/{hold['id']}/extension")).json()
    assert extended["expires_at"] > hold["expires_at"]
    is_problem(await shelter.post(OUTREACH, f"/holds/{hold['id']}/extension"), 409, "already-extended")
    assert await shelter.steps(hold["id"]) == [("hold.placed", None), ("hold.extended", None)]


async def test_a_held_bed_is_its_holds_alone(shelter: Shelter) -> None:
    unit = await shelter.unit(1)
    hold = await shelter.hold(unit)
    path = f"/units/{unit}/beds/{hold['bed_ids'][0]}"
    is_problem(await shelter.patch(SHELTER, path, status="occupied"), 409, "bed-held")
    is_problem(await shelter.patch(SHELTER, f"/units/{unit}", beds=1, withdrawn=True), 409, "beds-in-use")
    assert (await shelter.let_go(SHELTER, hold["id"])).json()["reason"] == "refused"
    assert (await shelter.patch(SHELTER, path, status="occupied")).status_code == 200


async def test_a_hold_ends_by_itself_and_its_bed_is_for_the_next(shelter: Shelter) -> None:
    unit = await shelter.unit(1)
    hold = await shelter.hold(unit)
    shelter.sql("UPDATE holds SET expires_at = now() WHERE id = %s", hold["id"])
    # The next one does not wait for the sweep.
    await shelter.hold(unit, OTHER)
    assert (await shelter.state_of(hold["id"]))[0] == "expired"
    is_problem(
        await shelter.post(SHELTER, f"/holds/{hold['id']}/check-in", {"door_code": hold["door_code"]}),
        409,
        "hold-ended",
    )
    assert await shelter.steps(hold["id"]) == [("hold.placed", None), ("hold.expired", None)]


@pytest.mark.parametrize("status", ["declined", "cancelled", "expired"])
async def test_a_hold_ends_with_its_referral(shelter: Shelter, status: str) -> None:
    unit = await shelter.unit(3)
    hold, others, kept = (
        await shelter.hold(unit, referral_id=f"referral-{status}"),
        await shelter.hold(unit, OTHER, referral_id=f"referral-{status}"),
        await shelter.hold(unit),
    )
    await shelter.end_referral(f"referral-{status}", "accepted")
    await shelter.end_referral(f"referral-{status}", status)
    await until_state(shelter, hold["id"], ("released", f"referral_{status}"))
    # Whoever names another's referral gets nothing by it, and loses nothing by it.
    assert (await shelter.get(OTHER, f"/holds/{others['id']}")).json()["state"] == "placed"
    assert await shelter.state_of(kept["id"]) == ("placed", None)
    # What became of the referral is between its two parties: the log, and the shelter, hear that the hold was let go.
    assert await shelter.steps(hold["id"]) == [("hold.placed", None), ("hold.released", "cancelled")]
    assert (await shelter.get(SHELTER, f"/holds/{hold['id']}")).json()["reason"] == "cancelled"


async def test_of_two_hundred_who_want_the_last_bed_one_gets_it(shelter: Shelter) -> None:
    """Again and again, on the real PostgreSQL: the others are told so, and quickly. Each fifth over the whole API."""
    unit = await shelter.unit(1, max_open_holds=100)
    database, slowest = Database(shelter.settings.database_url), 0.0
    for time in range(TIMES):
        took = take if time % 5 == 0 else partial(take_directly, database)
        answers = await asyncio.gather(*(timed(took(shelter, unit, number)) for number in range(200)))
        [won] = [answer for answer, _ in answers if not isinstance(answer, str)]
        assert Counter(answer for answer, _ in answers if isinstance(answer, str)) == {"no-free-bed": 199}
        slowest = max(slowest, *(seconds for _, seconds in answers))
        assert (await shelter.let_go(won["holder"], won["id"])).status_code == 200
    await database.close()
    values = await shelter.values("bed-holds")
    assert double_holders(values) == []
    assert slowest < 5, f"a taker waited {slowest:.1f} s to be told"


async def test_the_checker_finds_a_planted_double(shelter: Shelter) -> None:
    unit = await shelter.unit(1)
    hold = await shelter.hold(unit)
    await shelter.let_go(OUTREACH, hold["id"])
    await shelter.hold(unit, OTHER)
    values = await shelter.values("bed-holds")
    mine = [value for value in values if EVENT.decode(value).data.unit_id == unit]
    assert double_holders(values) == []
    assert double_holders([mine[0], mine[0], *mine[1:]]) == []  # a relay may say a thing twice
    assert double_holders([*mine[:2], *mine[:2], mine[2]]) == []  # and what it said before that, too
    assert any("held" in fault for fault in double_holders(planted(mine, without=1)))
    assert any("order" in fault for fault in double_holders([mine[0], mine[2]]))
    assert any("nobody holds" in fault for fault in double_holders(mine[1:]))


async def test_the_sweep_is_one_of_many(shelter: Shelter) -> None:
    """Two processes sweep at once: each hold ends once."""
    unit = await shelter.unit(6, max_open_holds=9)
    holds = [await shelter.hold(unit) for _ in range(6)]
    shelter.sql("UPDATE holds SET expires_at = now() WHERE unit_id = %s", unit)
    databases = [Database(shelter.settings.database_url) for _ in range(4)]
    await asyncio.gather(*(worker.sweep(database) for database in databases))
    for database in databases:
        await database.close()
    assert [await shelter.steps(hold["id"]) for hold in holds] == [[("hold.placed", None), ("hold.expired", None)]] * 6
    assert await shelter.counts(unit) == (6, 0, 0, 0)


def planted(values: list[bytes], without: int) -> list[bytes]:
    """Leave out a hold's end, and count on as if it had never been."""
    events = [EVENT.decode(value) for number, value in enumerate(values) if number != without]
    return [
        canonical.encode(msgspec.structs.replace(event, data=msgspec.structs.replace(event.data, order=number)))
        for number, event in enumerate(events, 1)
    ]


Taken = dict[str, Any] | str
"""A hold, or the name of the problem."""


async def take(shelter: Shelter, unit: str, number: int) -> Taken:
    answer = await shelter.post(f"outreach-{number}", "/holds", {"unit_id": unit, "minutes": 30})
    said: dict[str, Any] = answer.json()
    return said if answer.status_code == 201 else str(said["type"]).removeprefix("/problems/")


async def take_directly(database: Database, _: Shelter, unit: str, number: int) -> Taken:
    caller = Principal("a-client", f"outreach-{number}", frozenset({Scope.HOLDS_WRITE}))
    try:
        async with database.transaction() as session:
            made = await holds.place(session, caller, NewHold(unit_id=unit, minutes=30))
            return made.model_dump()
    except Problem as refused:
        return refused.name


async def timed(answer: Awaitable[Taken]) -> tuple[Taken, float]:
    began = asyncio.get_running_loop().time()
    return await answer, asyncio.get_running_loop().time() - began


async def until_state(shelter: Shelter, hold_id: str, expected: tuple[str, str | None]) -> None:
    async def reached() -> bool:
        return await shelter.state_of(hold_id) == expected

    await wait_until_async(reached, what=f"the hold to be {expected}")
