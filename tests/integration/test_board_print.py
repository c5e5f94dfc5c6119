"""The board on paper: every unit that is looked for, in words, and nothing of a confidential one's place."""

import html
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.conftest import Databases
from tests.support.board import Board, Browser, running_board
from tests.support.night import NIGHT, told
from tests.support.shelter import OUTREACH

pytestmark = pytest.mark.asyncio(loop_scope="module")
HIDDEN: dict[str, Any] = {"confidential": True, "shown": "yes_no", "phone": "+1 555 0199", "area": "Elm and 3rd"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def board(postgres: Databases) -> AsyncIterator[Board]:
    async with running_board(postgres.create_database("shelter_beds")) as found:
        await told(found)
        await found.shelter.unit(2, name="<b>Bold</b> House", phone="+1 555 0100")
        await found.shelter.unit(3, name="Hidden House", **HIDDEN)
        await found.shelter.unit(5, name="Shut House", status="no-capacity")
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def navigator(board: Board) -> AsyncIterator[Browser]:
    async with board.visitor(OUTREACH) as browser:
        yield browser


def rows(page: str) -> dict[str, list[str]]:
    """The cells of each unit's row, as a person reads them, by the unit's name."""
    found = {}
    for row in re.findall(r"<tr id=.*?</tr>", page, re.DOTALL):
        name = html.unescape(
            re.sub(r"\s+", " ", re.findall(r'<th scope="row" class="col-what">(.*?)<small', row, re.DOTALL)[0])
        )
        cells = re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL)
        found[name.strip()] = [html.unescape(" ".join(re.sub("<[^>]+>", " ", cell).split())) for cell in cells]
    return found


async def test_every_unit_is_there_with_what_a_navigator_must_know(navigator: Browser) -> None:
    answer = await navigator.get("/board", view="print")
    listed = rows(answer.text)
    # A confidential unit bears its organization's name.
    names = {name for name, *_, said in NIGHT if not said.get("confidential")} | {"<b>Bold</b> House", "Shut House"}
    assert listed.keys() == names | {"Harbor Shelter"}
    free, whom, when, call, age = listed["Prairie Women's Shelter"]
    assert (free, call) == ("5 of 24", "+1 312 555 0144")
    assert whom == "Adults Ages 18 and up · Women"
    assert when == "Intake 16:00 to 20:00 · last in 21:00"
    assert age == "reported 14 h ago, next report due"


async def test_how_many_are_free_is_said_as_the_unit_shows_it(navigator: Browser) -> None:
    listed = rows((await navigator.get("/board", view="print")).text)
    assert {name: cells[0] for name, cells in listed.items()}.items() >= {
        "Harbor Shelter": "Yes",
        "Cedar Cottage": "Call",
        "Grace Street Annex": "Wait list only",
        "Calumet Men's Dormitory": "0 of 30",
        "Bridge Recovery Beds": "2 Free after an assessment",
        "Shut House": "No Full",
    }.items()


async def test_of_a_confidential_unit_there_is_a_phone_and_no_place(navigator: Browser) -> None:
    page = (await navigator.get("/board", view="print")).text
    assert "Elm and 3rd" not in page
    assert "Confidential location" in page
    assert "+1 555 0199" in page


async def test_it_is_what_the_board_shows_under_the_same_filters_in_the_same_language(navigator: Browser) -> None:
    page = (await navigator.get("/board", view="print", lang="es", gender="women", low_barrier="true")).text
    assert '<html lang="es">' in page
    assert rows(page).keys() == {"Harbor Rooms", "Winter Overflow, Union Hall", "Lantern Youth Loft"}
    assert "Solo las unidades que coinciden con los filtros" in page
    board = (await navigator.get("/board", lang="en", low_barrier="true")).text
    assert 'href="?low_barrier=true&amp;view=print"' in board


async def test_nothing_runs_and_nothing_comes_from_elsewhere(navigator: Browser) -> None:
    answer = await navigator.get("/board", view="print")
    assert "<script" not in answer.text
    assert "style=" not in answer.text
    for address in re.findall(r'<link rel="stylesheet" href="([^"]+)"', answer.text):
        assert (await navigator.get(address)).headers["content-type"].startswith("text/css")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"


async def test_nothing_found_is_said(navigator: Browser) -> None:
    page = (await navigator.get("/board", view="print", lang="en", veterans_only="true", couples="true")).text
    assert "<table" not in page
    assert rows(page) == {}
