"""The shelter's desk without JavaScript: count, answer, check in, and for whom one may."""

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.conftest import Databases
from tests.support.board import Board, Browser, running_board
from tests.support.shelter import SHELTER

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def board(postgres: Databases) -> AsyncIterator[Board]:
    async with running_board(postgres.create_database("shelter_beds")) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def shelter(board: Board) -> AsyncIterator[Browser]:
    async with board.visitor(SHELTER) as browser:
        yield browser


async def test_the_desk_says_how_many_and_answers(board: Board, shelter: Browser) -> None:
    unit = await board.shelter.unit(9, hold_policy="request", name="Desk House")
    asked, refused, kept = [await board.shelter.hold(unit) for _ in range(3)]
    page = (await shelter.get("/board/desk", unit=unit)).text
    assert "3 requests wait for your answer" in page
    desk = f"/board/desk/{unit}"
    assert (await shelter.post(f"{desk}/holds/{asked['id']}/answer", accept="true")).status_code == 303
    assert (await shelter.post(f"{desk}/holds/{refused['id']}/answer", accept="false")).status_code == 303
    assert (await shelter.post(f"{desk}/holds/{kept['id']}/answer", accept="true")).status_code == 303
    said = await shelter.post(f"{desk}/census", available="4", held="2")
    assert await board.shelter.counts(unit) == (4, 2, 3, 0)
    after = (await shelter.get(said.headers["location"])).text
    assert re.search(r"Your count of \d\d:\d\d is on the board", after)
    assert re.search(r'<b class="count">4</b> <span>beds free', after)
    await shelter.post(f"{desk}/census", available="4", includes_holds="true", held="2")
    assert await board.shelter.counts(unit) == (2, 2, 5, 0)
    many = await shelter.post(f"{desk}/census", available="40", held="2")
    assert (many.status_code, 'id="fault-available"' in many.text) == (422, True)
    wrong = await shelter.post(f"{desk}/check-in", door_code="AMBER-99")
    assert (wrong.status_code, 'id="fault-door_code"' in wrong.text) == (422, True)
    heard = asked["door_code"].lower().replace("-", " ")
    assert (await shelter.post(f"{desk}/check-in", door_code=heard)).status_code == 303
    assert (await shelter.post(f"{desk}/holds/{kept['id']}/release")).status_code == 303
    assert await board.shelter.counts(unit) == (3, 0, 6, 0)


async def test_a_request_says_how_many_it_asks_for_and_how_many_of_them_are_free(
    board: Board, shelter: Browser
) -> None:
    unit = await board.shelter.unit(3, hold_policy="request", name="Few House")
    first, second = [await board.shelter.hold(unit, beds=2) for _ in range(2)]
    page = (await shelter.get("/board/desk", unit=unit)).text
    assert (page.count("Hold 2 beds?"), "of them" in page, "No bed is on hold" in page) == (2, False, True)
    answer = f"/board/desk/{unit}/holds/{{}}/answer"
    assert (await shelter.post(answer.format(first["id"]), accept="true")).status_code == 303
    page = (await shelter.get("/board/desk", unit=unit)).text
    assert (page.count("Hold 2 beds?"), "1 of them is free now" in page, "2 beds are on hold" in page) == (
        1,
        True,
        True,
    )
    late = await shelter.post(answer.format(second["id"]), accept="true")
    assert (late.status_code, "not that many free beds" in late.text, "Hold 2 beds?" in late.text) == (409, True, True)
    no = await shelter.post(answer.format(second["id"]), accept="false")
    assert "The request was refused." in (await shelter.get(no.headers["location"])).text
    assert await board.shelter.counts(unit) == (1, 2, 0, 0)


async def test_a_coordinator_acts_for_the_shelter_that_delegated_to_it_and_for_no_other(board: Board) -> None:
    delegated, others = await board.shelter.unit(3, delegates=["coordinator"]), await board.shelter.unit(3)
    hold = await board.shelter.hold(others)
    async with board.visitor("coordinator") as coordinator:
        assert "You act for Harbor Shelter" in (await coordinator.get("/board/desk")).text
        assert (await coordinator.post(f"/board/desk/{delegated}/census", available="1")).status_code == 303
        for path in (f"{others}/census", f"{others}/check-in", f"{delegated}/holds/{hold['id']}/release"):
            answer = await coordinator.post(f"/board/desk/{path}", available="1", door_code=hold["door_code"])
            assert answer.status_code == 404, path
        assert (await coordinator.get("/board/desk", unit=others)).status_code == 404
    changes = (await board.shelter.get(SHELTER, f"/units/{delegated}/changes")).json()["items"]
    assert changes[-1]["organization"] == "coordinator"
    async with board.visitor("nobody") as nobody:
        assert "has no unit yet" in (await nobody.get("/board/desk")).text


async def test_who_was_not_asked_about_the_beds_on_hold_is_asked_before_anything_counts(
    board: Board, shelter: Browser
) -> None:
    unit = await board.shelter.unit(10, name="Stale House")
    page = (await shelter.get("/board/desk", unit=unit)).text
    assert ('name="held" value="0"' in page, "includes_holds" in page) == (True, False)
    await board.shelter.hold(unit, beds=2)
    census = f"/board/desk/{unit}/census"
    asked = await shelter.post(census, available="7", held="0")
    assert (asked.status_code, 'id="fault-held"' in asked.text) == (422, True)
    assert ('name="held" value="2"' in asked.text, "2 beds are on hold" in asked.text) == (True, True)
    assert await board.shelter.counts(unit) == (8, 2, 0, 0), "nothing was counted"
    assert (await shelter.post(census, available="7", held="2", includes_holds="true")).status_code == 303
    assert await board.shelter.counts(unit) == (5, 2, 3, 0)


async def test_a_button_pressed_twice_did_what_it_says(board: Board, shelter: Browser) -> None:
    unit = await board.shelter.unit(4, hold_policy="request", name="Twice House")
    yes, no = [await board.shelter.hold(unit) for _ in range(2)]
    desk = f"/board/desk/{unit}"

    async def twice(path: str, **fields: str) -> list[str]:
        answers = [await shelter.post(f"{desk}/{path}", **fields) for _ in range(2)]
        return [answer.headers.get("location", answer.text)[-10:].split("=")[-1] for answer in answers]

    assert await twice(f"holds/{yes['id']}/answer", accept="true") == ["accepted"] * 2
    assert await twice(f"holds/{no['id']}/answer", accept="false") == ["refused"] * 2
    other = await shelter.post(f"{desk}/holds/{no['id']}/answer", accept="true")
    assert other.status_code == 409, "another answer than the one given"
    assert await twice("check-in", door_code=yes["door_code"]) == ["checked_in"] * 2
    assert await board.shelter.counts(unit) == (3, 0, 1, 0), "one was let in"
    gone = await board.shelter.hold(unit)
    await shelter.post(f"{desk}/holds/{gone['id']}/answer", accept="true")
    assert await twice(f"holds/{gone['id']}/release") == ["released"] * 2
    wrong = await shelter.post(f"{desk}/check-in", door_code=gone["door_code"])
    assert wrong.status_code == 422, "nobody came in with it"


async def test_a_count_keeps_its_hour_when_the_page_is_loaded_again(board: Board, shelter: Browser) -> None:
    unit = await board.shelter.unit(3, name="Hour House", time_zone="UTC")
    await shelter.post(f"/board/desk/{unit}/census", available="2")
    board.shelter.sql("UPDATE units SET census_as_of = '2026-01-02T03:04:05Z' WHERE id = %s", unit)
    assert "Your count of 03:04 is on the board" in (await shelter.get("/board/desk", unit=unit, done="said")).text


async def test_another_unit_is_a_link_and_no_number_is_pressed_by_enter(board: Board, shelter: Browser) -> None:
    unit, other = await board.shelter.unit(3, name="First House"), await board.shelter.unit(3, name="Second House")
    page = (await shelter.get("/board/desk", unit=unit)).text
    assert f'href="/board/desk?unit={other}">Second House' in page
    assert "<select" not in page
    first = re.search(r'class="census">.*?(<button[^>]*>)', page, re.DOTALL)
    assert first is not None
    assert first[1] == '<button name="available" value="" hidden>'
    nothing = await shelter.post(f"/board/desk/{unit}/census", available="")
    assert (nothing.status_code, "Nothing was counted yet" in nothing.text) == (422, True)
    assert await board.shelter.counts(unit) == (3, 0, 0, 0)
