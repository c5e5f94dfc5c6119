"""Units: what is refused and which field is named, what is said on the log, who may see and change what."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from services.kit.auth import Scope
from services.shelter_beds.tables import METADATA
from tests.conftest import Databases
from tests.support.governance import is_problem
from tests.support.shelter import OTHER, OUTREACH, PROJECT, SAFE_HOUSE, SHELTER, Shelter, opened, unit_body
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.asyncio(loop_scope="module")
KIT_TABLES = {"alembic_version", "outbox", "positions"}
CANARY = "canary-4711"
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown household type": ({"household_type": CANARY}, "household_type"),
    "no beds": ({"beds": 0}, "beds"),
    "too many beds": ({"beds": 501}, "beds"),
    "a name of two lines": ({"name": f"{CANARY}\nBeds"}, "name"),
    "unknown time zone": ({"time_zone": CANARY}, "time_zone"),
    "a time with seconds": ({"intake_from": "16:00:30"}, "intake_from"),
    "an age beyond ages": ({"minimum_age": 121}, "minimum_age"),
    "unknown thing to bring": ({"bring": [CANARY]}, "bring.0"),
    "a field nobody knows": ({"client_id": CANARY}, "client_id"),
    "another project type": ({"project_type": 2}, "project_type"),
    "unknown project": ({"project": "no-such-project"}, "project"),
    "another's organization": ({"organization": OTHER}, "organization"),
    "a season that ends before it begins": ({"opens_on": "2026-12-01", "closes_on": "2026-12-01"}, "body"),
    "ages the wrong way round": ({"minimum_age": 30, "maximum_age": 18}, "body"),
    "a confidential unit that shows counts": ({"confidential": True, "phone": "555 0100"}, "body"),
    "a confidential unit without a hotline": ({"confidential": True, "shown": "yes_no"}, "phone"),
    "a unit to call without a number": ({"shown": "call", "hold_policy": "none"}, "phone"),
    "a unit to call that gives holds": ({"shown": "call", "phone": "555 0100"}, "body"),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shelter(postgres: Databases) -> AsyncIterator[Shelter]:
    async with opened(postgres.create_database("shelter_beds")) as found, found.serving():
        yield found


@pytest.mark.parametrize("name", REFUSED)
async def test_a_refusal_names_the_field_and_repeats_nothing(shelter: Shelter, name: str) -> None:
    changes, field = REFUSED[name]
    answer = await shelter.post(SHELTER, "/units", unit_body(**changes))
    is_problem(answer, 422, answer.json()["type"].removeprefix("/problems/"), field)
    assert CANARY not in answer.text


async def test_what_is_said_of_a_unit_is_absolute_and_complete(shelter: Shelter) -> None:
    unit = await shelter.unit(4, name="Harbor Family Rooms", phone="555 0100", last_in="23:00", bring=["photo_id"])
    [first] = await shelter.said_of(unit)
    assert (first.maximum, first.available, first.held, first.occupied, first.offline) == (4, 4, 0, 0, 0)
    assert (first.name, first.last_in, first.bring, first.status) == (
        "Harbor Family Rooms",
        "23:00",
        ("photo_id",),
        "capacity",
    )
    assert (await shelter.patch(SHELTER, f"/units/{unit}", pets=True)).status_code == 200
    assert (await shelter.patch(SHELTER, f"/units/{unit}", pets=True)).status_code == 200
    said = await shelter.said_of(unit)
    assert [(each.version, each.pets) for each in said] == [(1, False), (2, True)]  # what says nothing new is not said
    listed = (await shelter.get(OUTREACH, "/availability", limit="200")).json()["items"]
    assert [(each["version"], each["available"]) for each in listed if each["unit_id"] == unit] == [(2, 4)]


async def test_a_change_must_fit_what_is_there(shelter: Shelter) -> None:
    unit = await shelter.unit(minimum_age=18)
    is_problem(await shelter.patch(SHELTER, f"/units/{unit}", maximum_age=17), 422, "invalid-body", "body")
    is_problem(await shelter.patch(SHELTER, f"/units/{unit}", name=None), 422, "invalid-body", "name")
    is_problem(await shelter.patch(SHELTER, f"/units/{unit}", season="monsoon"), 422, "invalid-body", "season")
    assert (await shelter.patch(SHELTER, f"/units/{unit}", minimum_age=None)).json()["profile"]["minimum_age"] is None


async def test_beds_one_by_one(shelter: Shelter) -> None:
    unit = await shelter.unit(2)
    first, second = (await shelter.get(SHELTER, f"/units/{unit}")).json()["beds"]
    path = f"/units/{unit}/beds/{first['id']}"
    is_problem(await shelter.patch(SHELTER, path, status="offline"), 422, "invalid-body", "body")
    assert (await shelter.patch(SHELTER, path, status="offline", reason="broken frame")).status_code == 200
    assert (await shelter.patch(SHELTER, f"/units/{unit}/beds/{second['id']}", status="occupied")).status_code == 200
    assert await shelter.counts(unit) == (0, 0, 1, 1)
    assert (await shelter.said_of(unit))[-1].status == "no-capacity"
    is_problem(await shelter.patch(SHELTER, f"/units/{unit}/beds/nobody", status="free"), 404, "not-found")


async def test_more_beds_and_fewer(shelter: Shelter) -> None:
    unit = await shelter.unit(2)
    assert (await shelter.patch(SHELTER, f"/units/{unit}", beds=4)).json()["available"] == 4
    beds = (await shelter.get(SHELTER, f"/units/{unit}")).json()["beds"]
    for bed in beds[1:3]:
        await shelter.patch(SHELTER, f"/units/{unit}/beds/{bed['id']}", status="occupied")
    is_problem(await shelter.patch(SHELTER, f"/units/{unit}", beds=1), 409, "beds-in-use", "beds")
    assert (await shelter.patch(SHELTER, f"/units/{unit}", beds=2)).json()["occupied"] == 2
    grown = (await shelter.patch(SHELTER, f"/units/{unit}", beds=3)).json()
    assert [bed["label"] for bed in grown["beds"]] == ["2", "3", "4"]


async def test_who_may_see_and_change_a_unit(shelter: Shelter) -> None:
    unit = await shelter.unit(2)
    bed = (await shelter.get(SHELTER, f"/units/{unit}")).json()["beds"][0]["id"]
    census = {"available": 1, "as_of": datetime.now(UTC).isoformat()}
    for organization in (OTHER, OUTREACH):
        is_problem(await shelter.get(organization, f"/units/{unit}"), 404, "not-found")
        is_problem(await shelter.get(organization, f"/units/{unit}/changes"), 404, "not-found")
        is_problem(await shelter.patch(organization, f"/units/{unit}", pets=True), 404, "not-found")
        is_problem(await shelter.patch(organization, f"/units/{unit}/beds/{bed}", status="free"), 404, "not-found")
        is_problem(await shelter.census(organization, unit, **census), 404, "not-found")
        assert unit not in (await shelter.get(organization, "/units", limit="200")).text
    assert (await shelter.patch(SHELTER, f"/units/{unit}", delegates=[OTHER])).status_code == 200
    assert (await shelter.census(OTHER, unit, **census)).json()["available"] == 1
    assert unit in (await shelter.get(OTHER, "/units", limit="200")).text
    is_problem(await shelter.patch(OTHER, f"/units/{unit}", pets=True), 404, "not-found")
    answer = await shelter.http.get("/availability", headers=shelter.headers(SHELTER, [Scope.HOLDS_WRITE]))
    is_problem(answer, 403, "insufficient-scope")


async def test_the_administrator_registers_units_of_shelters_without_a_system(shelter: Shelter) -> None:
    is_problem(await shelter.post(None, "/units", unit_body()), 403, "organization-needed")
    made = await shelter.post(None, "/units", unit_body(organization=SHELTER, delegates=[OUTREACH]))
    assert (made.status_code, made.json()["organization"]) == (201, SHELTER)


async def test_a_victim_service_providers_unit_is_confidential_and_shows_no_place(shelter: Shelter) -> None:
    is_problem(await shelter.post(SAFE_HOUSE, "/units", unit_body()), 422, "invalid-body", "confidential")
    secret = {"name": f"{CANARY} house", "area": CANARY, "eligibility": CANARY, "intake_from": "16:00"}
    hotline = {"confidential": True, "shown": "yes_no", "phone": "1 800 555 0199"}
    unit = await shelter.unit(2, SAFE_HOUSE, **secret, **hotline)
    listed = (await shelter.get(OUTREACH, "/availability", limit="200")).json()["items"]
    [shown] = [each for each in listed if each["unit_id"] == unit]
    assert CANARY not in str(shown)
    assert (shown["open"], shown["phone"], shown["name"]) == (True, "1 800 555 0199", "Harbor Shelter")
    assert not {"available", "held", "occupied", "offline", "maximum", "project", "area", "intake_from"} & set(shown)
    is_problem(await shelter.patch(SAFE_HOUSE, f"/units/{unit}", confidential=False), 422, "invalid-body")


async def test_a_withdrawn_unit_is_no_more(shelter: Shelter) -> None:
    unit = await shelter.unit(1)
    hold = await shelter.hold(unit)
    is_problem(await shelter.patch(SHELTER, f"/units/{unit}", withdrawn=True), 409, "beds-in-use", "withdrawn")
    await shelter.http.delete(f"/holds/{hold['id']}", headers=shelter.headers(OUTREACH))
    assert (await shelter.patch(SHELTER, f"/units/{unit}", withdrawn=True)).status_code == 200
    assert (await shelter.said_of(unit))[-1].withdrawn
    assert unit not in (await shelter.get(OUTREACH, "/availability", limit="200")).text
    is_problem(await shelter.post(OUTREACH, "/holds", {"unit_id": unit, "minutes": 30}), 404, "not-found")
    is_problem(await shelter.patch(SHELTER, f"/units/{unit}", pets=True), 404, "not-found")


async def test_a_census_sets_the_number_and_an_older_one_loses(shelter: Shelter) -> None:
    unit, now = await shelter.unit(10), datetime.now(UTC)
    assert (await shelter.census(SHELTER, unit, occupied=7, as_of=now.isoformat())).json()["available"] == 3
    earlier = (now - timedelta(minutes=5)).isoformat()
    is_problem(await shelter.census(SHELTER, unit, available=9, as_of=earlier), 409, "older-census", "as_of")
    assert await shelter.counts(unit) == (3, 0, 7, 0)
    later = (now + timedelta(hours=1)).isoformat()
    is_problem(await shelter.census(SHELTER, unit, available=9, as_of=later), 422, "invalid-body", "as_of")
    is_problem(
        await shelter.census(SHELTER, unit, available=11, as_of=now.isoformat()), 422, "invalid-body", "available"
    )
    is_problem(await shelter.census(SHELTER, unit, as_of=now.isoformat()), 422, "invalid-body", "body")


async def test_what_was_said_bed_by_bed_is_newer_than_a_count_from_before(shelter: Shelter) -> None:
    unit, counted_at = await shelter.unit(3), datetime.now(UTC).isoformat()
    for bed in (await shelter.get(SHELTER, f"/units/{unit}")).json()["beds"]:
        await shelter.patch(SHELTER, f"/units/{unit}/beds/{bed['id']}", status="occupied")
    is_problem(await shelter.census(SHELTER, unit, available=2, as_of=counted_at), 409, "older-census", "as_of")
    assert await shelter.counts(unit) == (0, 0, 3, 0)


async def test_a_clock_that_is_fast_keeps_nothing_out(shelter: Shelter) -> None:
    unit, ahead = await shelter.unit(5), (datetime.now(UTC) + timedelta(minutes=4)).isoformat()
    assert (await shelter.census(SHELTER, unit, available=1, as_of=ahead)).status_code == 200
    assert (await shelter.census(SHELTER, unit, available=4, as_of=datetime.now(UTC).isoformat())).status_code == 200
    # As if the database's own clock had been a year ahead for a minute.
    shelter.sql("UPDATE units SET census_as_of = now() + interval '1 year' WHERE id = %s", unit)
    shelter.sql("UPDATE units SET last_reset_at = now() + interval '1 year' WHERE id = %s", unit)
    await shelter.patch(SHELTER, f"/units/{unit}", resets_at="10:00")
    assert (await shelter.census(SHELTER, unit, available=3, as_of=soon())).status_code == 200
    [(wakes, now)] = shelter.sql("SELECT wakes_at, now() FROM units WHERE id = %s", unit)
    assert timedelta(0) < wakes - now <= timedelta(days=1)


async def test_a_unit_follows_its_project_becoming_protected(shelter: Shelter, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = await shelter.unit(2, area="Elm Street 5")
    monkeypatch.setitem(PROJECT, "confidential", True)
    is_problem(await shelter.patch(SHELTER, f"/units/{unit}", pets=True), 422, "invalid-body", "confidential")
    hidden = {"confidential": True, "shown": "yes_no", "hold_policy": "request", "phone": "555 0100"}
    assert (await shelter.patch(SHELTER, f"/units/{unit}", **hidden)).status_code == 200
    assert (await shelter.said_of(unit))[-1].area is None


async def test_a_unit_can_be_registered_with_people_in_it(shelter: Shelter) -> None:
    assert await shelter.counts(await shelter.unit(4, occupied=3)) == (1, 0, 3, 0)
    is_problem(await shelter.post(SHELTER, "/units", unit_body(beds=2, occupied=3)), 422, "invalid-body", "occupied")


async def test_live_holds_survive_a_census(shelter: Shelter) -> None:
    unit = await shelter.unit(10)
    await shelter.hold(unit, beds=2)
    now = datetime.now(UTC).isoformat()
    taken = await shelter.census(SHELTER, unit, available=1, as_of=now, includes_holds=True)
    assert (taken.json()["available"], taken.json()["held"], taken.json()["overcommitted"]) == (0, 2, 1)
    now = datetime.now(UTC).isoformat()
    counted = await shelter.census(SHELTER, unit, available=5, as_of=now, includes_holds=False)
    assert (counted.json()["available"], counted.json()["held"], counted.json()["occupied"]) == (5, 2, 3)


async def test_what_another_system_recorded_is_as_old_as_it_was_there(shelter: Shelter) -> None:
    then = datetime(2022, 10, 1, 5, tzinfo=UTC)
    unit = await shelter.unit(4, as_of=then.isoformat(), external_id=CANARY)
    assert (await shelter.census(SHELTER, unit, occupied=3, as_of=then.isoformat())).json()["available"] == 1
    said = await shelter.said_of(unit)
    assert {each.reported_at for each in said} == {"2022-10-01T05:00:00.000000Z"}
    assert (await shelter.get(SHELTER, f"/units/{unit}")).json()["profile"]["external_id"] == CANARY
    assert CANARY not in str(said) + (await shelter.get(OUTREACH, "/availability", limit="200")).text
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    is_problem(await shelter.post(SHELTER, "/units", unit_body(as_of=tomorrow)), 422, "invalid-body", "as_of")


async def test_the_history_tells_who_changed_what(shelter: Shelter) -> None:
    unit = await shelter.unit(2)
    await shelter.patch(SHELTER, f"/units/{unit}", pets=True, actor={"id": "w-17", "role": "night-staff"})
    changes = (await shelter.get(SHELTER, f"/units/{unit}/changes")).json()["items"]
    assert [(each["what"], each["details"]) for each in changes] == [
        ("registered", {"beds": 2}),
        ("changed", {"pets": True}),
    ]
    assert changes[1]["actor"] == {"id": "w-17", "role": "night-staff"}
    assert {each["organization"] for each in changes} == {SHELTER}


async def test_a_unit_out_of_season_has_no_bed_and_opens_by_itself(shelter: Shelter) -> None:
    today = datetime.now(UTC).date()
    unit = await shelter.unit(3, season="seasonal", opens_on=str(today + timedelta(days=1)))
    is_problem(await shelter.post(OUTREACH, "/holds", {"unit_id": unit, "minutes": 30}), 409, "no-free-bed")
    closed = (await shelter.said_of(unit))[-1]
    assert (closed.status, closed.available, closed.maximum, closed.open) == ("no-capacity", 0, 3, False)
    # As if the night were over: what it waits for lies in the past.
    profile = f'{{"opens_on": "{today}"}}'
    shelter.sql("UPDATE units SET profile = profile || %s::jsonb, wakes_at = now() WHERE id = %s", profile, unit)
    await wait_until_async(lambda: _available(shelter, unit, 3), what="the season to begin")


async def test_a_night_by_night_unit_resets_at_its_hour_and_keeps_its_holds(shelter: Shelter) -> None:
    unit = await shelter.unit(5, resets_at="10:00", time_zone="America/Chicago")
    await shelter.hold(unit, beds=2)
    await shelter.census(SHELTER, unit, available=0, as_of=datetime.now(UTC).isoformat(), includes_holds=False)
    assert await shelter.counts(unit) == (0, 2, 3, 0)
    shelter.sql("UPDATE units SET last_reset_at = now() - interval '25 hours', wakes_at = now() WHERE id = %s", unit)

    async def reset() -> bool:
        return await shelter.counts(unit) == (3, 2, 0, 0)

    await wait_until_async(reset, what="the reset")
    [(wakes, now)] = shelter.sql("SELECT wakes_at, now() FROM units WHERE id = %s", unit)
    assert timedelta(0) < wakes - now <= timedelta(hours=25)
    assert wakes.astimezone(UTC).minute == 0


async def test_a_repeated_registration_makes_one_unit(shelter: Shelter) -> None:
    answers = await asyncio.gather(
        *(shelter.post(SHELTER, "/units", unit_body(name="Once"), key="one-unit") for _ in range(3))
    )
    assert len({answer.json()["id"] for answer in answers}) == 1


async def test_migrations_make_the_tables_of_the_code(shelter: Shelter) -> None:
    engine = create_engine(shelter.settings.database_url.get_secret_value())
    with engine.connect() as connection:
        options = {"include_name": lambda name, kind, _: kind != "table" or name not in KIT_TABLES}
        differences = compare_metadata(MigrationContext.configure(connection, opts=options), METADATA)
    engine.dispose()
    assert [each for each in differences if each[0] != "remove_index"] == []


def soon() -> str:
    """A moment that the database's clock has not passed."""
    return (datetime.now(UTC) + timedelta(minutes=1)).isoformat()


async def _available(shelter: Shelter, unit: str, number: int) -> bool:
    return (await shelter.said_of(unit))[-1].available == number
