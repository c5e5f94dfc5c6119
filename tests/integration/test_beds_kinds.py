"""Tests' units and real ones: on every way in and out a caller finds its own kind, and of the other less than nothing.

Each way is gone by the unit's own shelter, which may do everything there; once with what its credential says of it, and
once with a credential that says it is of the other kind. So nothing but that can be why it is refused.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from tests.conftest import Databases
from tests.support.board import REFERRED
from tests.support.feed import Listener, listening
from tests.support.governance import is_problem
from tests.support.kinds import KINDS, NAME, OWNER, TRIAL, Kinds, Way, alike, both_kinds, nowhere
from tests.support.shelter import OUTREACH

pytestmark = pytest.mark.asyncio(loop_scope="module")
ACCESS = Path(__file__).parents[1] / "contracts" / "access.yaml"
ROUTES = {row["route"] for row in yaml.safe_load(ACCESS.read_text())["shelter_beds"]}
NOT_OF_UNITS = {
    "GET /hsds", "GET /fhir/metadata", "GET /sign-in", "POST /sign-in", "POST /sign-out", "GET /static/{name}",
    "GET /board/referrals/{referral_id}", "GET /healthz", "GET /readyz", "GET /metrics", "GET /problems/{name}",
}  # fmt: skip
TRIED_BELOW = {"POST /units", "GET /feed"}
COUNTED = {"available": "30"}
WAYS = [
    Way("GET /units/{unit_id}"),
    Way("PATCH /units/{unit_id}", {"pets": True}),
    Way("GET /units/{unit_id}/changes"),
    Way("PATCH /units/{unit_id}/beds/{bed_id}", {"status": "free"}),
    Way("PUT /units/{unit_id}/census", {"available": 30, "as_of": "{now}"}),
    Way("GET /hsds/services/{service_id}"),
    Way("GET /hsds/organizations/{organization_id}"),
    Way("GET /fhir/Location/{unit_id}"),
    Way("GET /fhir/HealthcareService/{unit_id}"),
    Way("POST /holds", {"unit_id": "{unit_id}", "minutes": 30}, "beds"),
    Way("POST /holds", {"unit_id": "{unit_id}", "minutes": 30}, "rooms"),
    Way("GET /holds/{hold_id}", at="beds"),
    Way("PATCH /holds/{hold_id}", {"referral_id": "a-referral"}, "beds"),
    Way("DELETE /holds/{hold_id}", at="beds"),
    Way("POST /holds/{hold_id}/answer", {"accept": True}, "rooms"),
    Way("POST /holds/{hold_id}/extension", at="beds"),
    Way("POST /holds/{hold_id}/check-in", {"door_code": "{door_code}"}, "beds"),
    Way("GET /board/units/{unit_id}/hold"),
    Way("POST /board/units/{unit_id}/hold", {"beds": "1", "minutes": "30"}, "beds"),
    Way("GET /board/holds/{hold_id}", at="beds"),
    Way("POST /board/holds/{hold_id}/extension", at="beds"),
    Way("POST /board/holds/{hold_id}/cancel", at="beds"),
    Way("POST /board/holds/{hold_id}/refer", REFERRED | {"once": "{hold_id}"}, "beds"),
    Way("GET /board/desk", {"unit": "{unit_id}"}),
    Way("POST /board/desk/{unit_id}/census", COUNTED),
    Way("POST /board/desk/{unit_id}/check-in", {"door_code": "{door_code}"}, "beds"),
    Way("POST /board/desk/{unit_id}/holds/{hold_id}/answer", {"accept": "true"}, "rooms"),
    Way("POST /board/desk/{unit_id}/holds/{hold_id}/release", at="beds"),
]
LISTS = [
    "GET /units", "GET /availability", "GET /availability.csv", "GET /hsds/service_capacities", "GET /hsds/services",
    "GET /hsds/organizations", "GET /fhir/Location", "GET /fhir/HealthcareService", "GET /holds", "GET /board",
    "GET /board/cards", "GET /board/desk",
]  # fmt: skip
VIEWS = {"GET /board": ["", "wall", "print"], "GET /board/cards": ["", "wall", "print"]}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(postgres: Databases) -> AsyncIterator[Kinds]:
    async with both_kinds(postgres.create_database("shelter_beds")) as found:
        yield found


async def test_no_way_is_forgotten() -> None:
    assert {way.route for way in WAYS} | set(LISTS) | TRIED_BELOW | NOT_OF_UNITS == ROUTES


@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way.route} {way.at}")
async def test_one_of_the_other_kind_is_like_one_that_never_was(town: Kinds, way: Way) -> None:
    for of in KINDS:
        place = await town.place(way, of)
        unknown = await town.ask(way, nowhere(place), of, not of)
        refused = await town.ask(way, place, of, not of)
        assert alike(refused) == alike(unknown)
        assert NAME[of] not in refused.text
        found = await town.ask(way, place, of, of)
        assert found.status_code < 400, found.text
        assert alike(found) != alike(unknown), "then nothing was shown above"


@pytest.mark.parametrize("route", LISTS)
async def test_a_list_has_the_callers_own_kind_alone(town: Kinds, route: str) -> None:
    held = {of: await town.place(Way("GET /holds/{hold_id}", at="beds"), of) for of in KINDS}
    marks = {of: town.marks(of) | {held[of]["hold_id"]} for of in KINDS}
    for view in VIEWS.get(route, [""]):
        sent: dict[str, Any] = {"view": view} if view else {}
        if route.endswith("/cards"):
            sent |= {"unit": [each for of in KINDS for each in town.units[of].values()]}
        way = Way(route, sent)
        for of in KINDS:
            for kind in KINDS:
                by_cookie = await town.browsers[of, kind].get(route.split(" ")[1], **sent)
                for answer in (await town.ask(way, {}, of, kind), by_cookie):
                    assert not {mark for mark in marks[not kind] if mark in answer.text}, (of, kind, view)
                    assert of != kind or {mark for mark in marks[kind] if mark in answer.text}, (of, kind, view)


async def test_a_unit_is_what_governance_says_of_its_organization(town: Kinds) -> None:
    shelter = town.board.shelter
    listed = (await shelter.get(None, "/units", limit="200")).json()["items"]
    assert {unit["id"]: unit["test"] for unit in listed} == {
        unit: of for of in KINDS for unit in town.units[of].values()
    }, "to the administrator, both"
    for of in KINDS:
        unit = town.units[of]["quiet"]
        assert (await shelter.patch(None, f"/units/{unit}", couples=True)).json()["test"] == of
        assert (await shelter.said_of(unit))[-1].test == of
    shown = (await shelter.get(None, "/availability", limit="200")).json()["items"]
    assert {unit["unit_id"] for unit in shown} == set(town.units[False].values()), "what is public is real"


async def test_a_delegate_of_the_other_kind_is_none(town: Kinds) -> None:
    shelter = town.board.shelter
    unit = town.units[False]["quiet"]
    assert (await shelter.patch(OWNER[False], f"/units/{unit}", delegates=[TRIAL, OUTREACH])).status_code == 200
    assert (await shelter.get(OUTREACH, f"/units/{unit}")).status_code == 200
    is_problem(await shelter.get(TRIAL, f"/units/{unit}"), 404, "not-found")
    assert unit not in (await shelter.get(TRIAL, "/units")).text


async def test_the_feed_tells_each_kind_of_its_own_and_no_id_of_the_others(town: Kinds) -> None:
    shelter = town.board.shelter
    await town.board.settled()
    async with town.board.at_a_port() as url:
        for kind in KINDS:
            own, other = (town.units[each]["beds"] for each in (kind, not kind))
            headers = town.headers(kind, kind)
            async with listening(url, headers) as heard:
                await heard.knows(own)
                await shelter.hold(other, OWNER[not kind])
                gone = await shelter.unit(1, OWNER[not kind], name=NAME[not kind])
                assert (await shelter.patch(OWNER[not kind], f"/units/{gone}", withdrawn=True)).status_code == 200
                await shelter.hold(own, OWNER[kind])
                await heard.knows(own, available=(await shelter.counts(own, OWNER[kind]))[0])
                epoch = (heard.last_id or "").split(":")[0]
            async with listening(url, headers, Listener(last_id=f"{epoch}:-1")) as resumed:
                await resumed.knows(own)
            async with listening(url, headers, unit_id=other) as filtered:
                assert (await filtered.until("snapshot"))["items"] == []
            told = str([*heard.events, *resumed.events, *filtered.events])
            assert not {mark for mark in (*town.marks(not kind), gone) if mark in told}
            wished = await shelter.http.get("/feed", params={"test": "true"}, headers=headers)
            is_problem(wished, 422, "invalid-parameter", "test")
