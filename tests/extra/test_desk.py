"""The shelter's desk in a real browser: nothing is counted that nobody meant, and the page says whether it is live."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.conftest import Databases
from tests.extra.night_pages import Night, night
from tests.support.shelter import SHELTER

pytestmark = pytest.mark.asyncio(loop_scope="module")
TABLETS: tuple[dict[str, Any], ...] = (
    {"viewport": {"width": 820, "height": 1180}},
    {"viewport": {"width": 360, "height": 780}},
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(postgres: Databases) -> AsyncIterator[Night]:
    async with night(postgres.create_database("shelter_beds")) as found:
        yield found


async def test_enter_on_the_question_counts_nothing(town: Night) -> None:
    unit = await town.board.shelter.unit(10, SHELTER, name="Enter House")
    await town.board.shelter.hold(unit, beds=1)
    async with town.page(town.shelter) as page:
        await page.goto(f"{town.address}/board/desk?unit={unit}")
        await page.locator("input[name=includes_holds][value=true]").focus()
        await page.keyboard.press("Space")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_contain_text("Nothing was counted yet")
        assert await town.board.shelter.counts(unit) == (9, 1, 0, 0)
        await page.locator("input[name=includes_holds][value=true]").check()
        await page.locator(".keys button").nth(7).focus()
        await page.keyboard.press("Enter")
        await expect(page.locator(".done")).to_contain_text("is on the board")
    assert await town.board.shelter.counts(unit) == (6, 1, 3, 0)


@pytest.mark.parametrize("screen", TABLETS, ids=["tablet", "phone"])
async def test_holds_that_come_in_show_up_and_move_no_key(town: Night, screen: dict[str, Any]) -> None:
    unit = await town.board.shelter.unit(10, SHELTER, name="Still House", hold_policy="request")
    async with town.page(town.shelter, **screen) as page:
        await page.goto(f"{town.address}/board/desk?unit={unit}")
        await expect(page.locator("#question")).to_have_text("No bed is on hold.")
        before = await key(page)
        held, _ = [await town.board.shelter.hold(unit, beds=beds) for beds in (2, 9)]
        await expect(page.locator("#asked")).to_contain_text("Hold 9 beds?")
        assert await key(page) == before
        await town.board.shelter.answer(held, accept=True)
        await expect(page.locator("#question")).to_contain_text("2 beds are on hold")
        await expect(page.locator("#counted")).to_contain_text("2 on hold")
        await expect(page.locator("#asked")).to_contain_text("8 of them are free now")
        assert await key(page) == before


async def key(page: Page) -> tuple[float, float]:
    """Where the key 7 is."""
    box = await page.locator(".keys button").nth(7).bounding_box()
    assert box is not None
    return box["x"], box["y"]


async def test_a_request_shows_up_at_the_desk(town: Night) -> None:
    unit = await town.board.shelter.unit(4, SHELTER, name="Knock House", hold_policy="request")
    async with town.page(town.shelter) as page:
        await page.clock.install()
        await page.goto(f"{town.address}/board/desk?unit={unit}")
        await town.board.shelter.hold(unit)
        await page.clock.fast_forward(11_000)
        await expect(page.locator("#asked-said")).to_have_text("1 request waits for your answer")
        await page.get_by_role("button", name="Yes, hold").click()
        await expect(page.locator(".done")).to_contain_text("The hold is placed")


async def test_a_desk_says_when_it_is_not_live_and_when_its_session_is_over(town: Night) -> None:
    unit = town.units["Harbor Rooms"]
    async with town.page(town.shelter) as page:
        await page.clock.install()
        await page.goto(f"{town.address}/board/desk?unit={unit}")
        await page.clock.fast_forward(2_000)
        await expect(page.locator("#connection")).to_contain_text("live, as of")
        await page.context.set_offline(True)
        await page.clock.fast_forward(60_000)
        await expect(page.locator("#connection")).to_contain_text("not live since")
        await expect(page.locator("#connection-said")).to_contain_text("not live since")
        await page.context.set_offline(False)
        await page.context.clear_cookies()
        await page.clock.fast_forward(11_000)
        await expect(page.locator("#connection")).to_contain_text("signed out, not live since")
        await page.get_by_role("link", name="Sign in again").click()
        await expect(page).to_have_url(f"{town.address}/sign-in?next=%2Fboard%2Fdesk%3Funit%3D{unit}")
