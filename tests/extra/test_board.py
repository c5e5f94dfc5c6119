"""The board in a real browser: for everybody, without mouse or script, and with nothing from elsewhere."""

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from services.shelter_beds.board import times
from services.shelter_beds.board.language import catalogue
from tests.conftest import Databases
from tests.extra.night_pages import Night, night
from tests.extra.tools import violations
from tests.support.board import CLIENT, moment
from tests.support.shelter import SHELTER

pytestmark = pytest.mark.asyncio(loop_scope="module")
SCREENS: dict[str, dict[str, Any]] = {
    "by day": {"viewport": {"width": 1360, "height": 900}, "color_scheme": "light"},
    "on a phone at night": {"viewport": {"width": 360, "height": 780}, "color_scheme": "dark"},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(postgres: Databases) -> AsyncIterator[Night]:
    async with night(postgres.create_database("shelter_beds")) as found:
        yield found


def pages(town: Night) -> list[str]:
    harbor, family = town.units["Harbor Rooms"], town.units["St. Brigid Family House"]
    return [
        "/board",
        "/board?lang=es",
        "/board?lang=en&beds=2&open=true",
        "/board?pets=true&couples=true&household_type=with_children",
        "/board?view=wall",
        f"/board/units/{harbor}/hold?beds=2",
        f"/board/holds/{town.hold}",
        f"/board/desk?unit={family}",
        f"/board/desk?unit={town.units['Winter Overflow, Union Hall']}&done=said",
        "/board/holds/none",
    ]


@pytest.mark.parametrize("screen", SCREENS)
async def test_axe_finds_nothing_on_any_page(town: Night, screen: str) -> None:
    async with town.page("", **SCREENS[screen]) as page:
        await page.goto(f"{town.address}/sign-in")
        assert await violations(page) == []
        await page.click("button.big")
    for organization in (town.outreach, town.shelter):
        async with town.page(organization, **SCREENS[screen]) as page:
            for path in pages(town):
                if ("/desk" in path) == (organization == town.shelter):
                    await page.goto(town.address + path)
                    assert page.url == town.address + path
                    assert (path, await violations(page)) == (path, [])
                    wide = await page.evaluate("document.documentElement.scrollWidth > innerWidth")
                    assert not wide, f"{path} is too wide"


async def test_find_hold_and_the_desk_by_keyboard_alone(town: Night) -> None:
    async with town.page(town.outreach, **SCREENS["by day"]) as page:
        await page.goto(f"{town.address}/board")
        await page.keyboard.press("Tab")
        assert await focused(page) == catalogue("en")("skip")
        await page.keyboard.press("Enter")
        await tab_to(page, "Low barrier")
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(re.compile(r"low_barrier=true"))
        await tab_to(page, "Hold Harbor Rooms")
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(re.compile(r"/hold$"))
        await tab_to(page, "Hold")
        await page.keyboard.press("Enter")
        await expect(page.locator(".ticket .code")).to_have_text(re.compile(r"[A-Z]+-\d\d"))
        code = await page.locator(".ticket .code").inner_text()
        await tab_to(page, "client_id")
        await page.keyboard.type(CLIENT)
        await page.keyboard.press("Enter")
        await expect(page.locator(".crossing")).to_be_visible()
    async with town.page(town.shelter, **SCREENS["by day"]) as page:
        await page.goto(f"{town.address}/board/desk?unit={town.units['Harbor Rooms']}")
        await tab_to(page, "8")
        await page.keyboard.press("Enter")
        await expect(page.locator(".done")).to_contain_text("is on the board")
        await expect(page.locator(".now .count")).to_have_text("8")
        await tab_to(page, "door_code")
        await page.keyboard.type(code.lower())
        await page.keyboard.press("Enter")
        await expect(page.locator(".done")).to_contain_text("Checked in")


async def test_it_works_without_javascript(town: Night) -> None:
    async with town.page(town.outreach, java_script_enabled=False, **SCREENS["on a phone at night"]) as page:
        await page.goto(f"{town.address}/board")
        assert await page.locator(".unit").count() >= len(town.units)
        await page.get_by_role("link", name="Unaccompanied youth").click()
        assert await page.locator(".unit").count() == 1
        await page.get_by_role("link", name="Hold Lantern Youth Loft").click()
        await page.get_by_role("button", name="Hold").click()
        await page.get_by_label("Client ID").fill(CLIENT)
        await page.get_by_role("button", name="Send the referral").click()
        assert "has: identity, household" in await page.locator(".crossing").inner_text()
        await page.get_by_role("link", name="Refresh this page").click()
        give_back = page.get_by_role("button", name="Yes, give back")
        await expect(give_back).to_be_hidden()
        await page.locator("summary", has_text="Give the bed back").click()
        await give_back.click()
        assert "You gave the beds back" in await page.locator(".ticket").inner_text()


async def test_a_change_arrives_without_a_reload_and_is_announced_once(town: Night) -> None:
    name, unit = "Bridge Recovery Beds", town.units["Bridge Recovery Beds"]
    async with town.page(town.outreach, **SCREENS["by day"]) as page:
        await page.goto(f"{town.address}/board?area=Avondale")
        await page.evaluate("window.kept = true")
        await expect(page.locator("#connection")).to_have_text(re.compile(r"live, as of \d\d:\d\d"))
        await page.locator(f"#unit-{unit} a.button").focus()
        for free in (5, 4):
            assert (await say(town, unit, free)).status_code == 200
            await expect(page.locator(f"#unit-{unit} .number b")).to_have_text(str(free))
        await expect(page.locator("#summary b")).to_have_text("4 beds free")
        assert await focused(page) == f"Ask for a hold {name}" or await focused(page) == f"Hold {name}"
        await expect(page.locator("#announcement")).to_have_text(f"1 unit changed: {name}: 4 free", timeout=15_000)
        shown = await page.locator(f"#unit-{unit} article").inner_html()
        assert await page.evaluate("window.kept"), "then the page was loaded again"
        await page.reload()
        assert plain(await page.locator(f"#unit-{unit} article").inner_html()) == plain(shown)


async def test_a_unit_comes_and_goes_as_the_filter_says(town: Night) -> None:
    unit = town.units["Lantern Youth Loft"]
    async with town.page(town.outreach, **SCREENS["by day"]) as page:
        await page.goto(f"{town.address}/board?household_type=only_children&open=true")
        await expect(page.locator("#connection")).to_have_class(re.compile("live"))
        await say(town, unit, 0)
        await expect(page.locator("#empty")).to_be_visible()
        await expect(page.locator("#summary")).to_contain_text("0 beds free")
        await expect(page.locator("#summary")).to_contain_text("0 of 0 units")
        gone = "1 unit changed: Lantern Youth Loft: not in this list any more"
        await expect(page.locator("#announcement")).to_have_text(gone, timeout=15_000)
        await say(town, unit, 3)
        await expect(page.locator(f"#unit-{unit} .number b")).to_have_text("3")
        await expect(page.locator("#empty")).to_be_hidden()


async def test_a_board_says_when_it_is_not_live(town: Night) -> None:
    async with town.page(town.outreach, **SCREENS["by day"]) as page:
        await page.clock.install()
        await page.goto(f"{town.address}/board")
        await expect(page.locator("#connection")).to_have_class(re.compile("live"))
        age = page.locator(f"#unit-{town.units['Cedar Cottage']} ~ li .report").last
        before = await age.inner_text()
        await page.route("**/feed?*", lambda route: route.abort())
        await page.context.set_offline(True)
        await page.clock.fast_forward(3_600_000)
        await expect(page.locator("#connection")).to_have_text(re.compile(r"not live since \d\d:\d\d"))
        assert await age.inner_text() != before, "an age goes on without a network"


async def test_a_board_whose_session_is_over_says_so(town: Night) -> None:
    async with town.page(town.outreach, **SCREENS["by day"]) as page:
        await page.goto(f"{town.address}/board")
        await expect(page.locator("#connection")).to_have_class(re.compile("live"))
        await page.context.clear_cookies()
        await say(town, town.units["Bridge Recovery Beds"], 1)
        await expect(page.locator("#connection")).to_have_text(re.compile(r"signed out, not live since \d\d:\d\d"))
        await expect(page.locator("#connection-said")).to_contain_text("signed out")
        await page.get_by_role("link", name="Sign in again").click()
        await expect(page).to_have_url(f"{town.address}/sign-in?next=%2Fboard")


async def test_a_wall_whose_feed_is_refused_says_that_it_is_signed_out(town: Night) -> None:
    async with town.page(town.outreach, **SCREENS["by day"]) as page:
        await page.route("**/feed?*", lambda route: route.fulfill(status=401))
        await page.route("**/board/cards?*", lambda route: route.fulfill(status=401))
        await page.goto(f"{town.address}/board?view=wall")
        await expect(page.locator("#connection")).to_contain_text("signed out, not live since")
        opacity = "getComputedStyle(document.querySelector('.number')).opacity"
        assert float(await page.evaluate(opacity)) < 1, "numbers of a wall that is not live are dim"


async def test_a_board_is_as_fresh_as_what_was_read(town: Night) -> None:
    """A snapshot that is made while the log is away is no news: only how far the log was read tells."""
    long_ago, now = moment(-600), moment()
    frames = f'event: snapshot\ndata: {{"at":"{now}","items":[]}}\n\n'
    heartbeat = f'event: heartbeat\ndata: {{"at":"{now}","read_to_end_at":"{long_ago}"}}\n\n'
    headers = {"content-type": "text/event-stream"}
    async with town.page(town.outreach, **SCREENS["by day"]) as page:
        await page.route("**/feed?*", lambda route: route.fulfill(headers=headers, body=heartbeat + frames))
        await page.goto(f"{town.address}/board")
        await expect(page.locator("#connection")).to_contain_text("not live since")


async def test_own_holds_follow(town: Night) -> None:
    unit = await town.board.shelter.unit(4, SHELTER, name="Own House")
    async with town.page(town.outreach, **SCREENS["by day"]) as page:
        await page.goto(f"{town.address}/board")
        await expect(page.locator("#connection")).to_have_class(re.compile("live"))
        hold = await town.board.shelter.hold(unit)
        await expect(page.locator("#own")).to_contain_text(hold["door_code"])
        shelter = town.board.shelter
        await shelter.http.delete(f"/holds/{hold['id']}", headers=shelter.headers(SHELTER))
        await expect(page.locator("#own")).not_to_contain_text(hold["door_code"])


async def test_the_shelters_answer_shows_up_at_the_holder(town: Night) -> None:
    unit = await town.board.shelter.unit(4, SHELTER, name="Answer House", hold_policy="request")
    hold = await town.board.shelter.hold(unit)
    async with town.page(town.outreach, **SCREENS["by day"]) as page:
        await page.goto(f"{town.address}/board/holds/{hold['id']}")
        await expect(page.locator(".ticket")).to_contain_text("has not answered yet")
        await town.board.shelter.post(SHELTER, f"/holds/{hold['id']}/answer", {"accept": True})
        await expect(page.locator(".ticket")).to_contain_text("Say this code at the door")
        await expect(page.locator("#state")).to_contain_text("Say this code at the door")


async def test_ages_are_said_alike_by_page_and_script(town: Night) -> None:
    now = 1_800_000_000
    spans = [0, 30, 59, 60, 3599, 5399, 5400, 86_399, 172_799, 172_800, 900_000]
    for language in ("en", "es"):
        words = catalogue(language)
        async with town.page(town.outreach) as page:
            await page.goto(f"{town.address}/board?lang={language}")
            script = """async ([address, spans, now]) => {
                const { words } = await import(address);
                return spans.map((span) => [
                    words("report", now - span, now + 1, now), words("report", now - span, now - span / 2, now),
                    words("open", 0, now + span, now), words("closed", 0, now + span, now),
                    words("expiry", 0, now + span, now),
                ]);
            }"""
            address = await page.locator("script[src*=live]").get_attribute("src")
            assert address is not None
            said = await page.evaluate(script, [f"{town.address}/static/ticking.js", spans, now])
        expected = [
            [
                times.report(words, now - span, now + 1, now),
                times.report(words, now - span, now - span / 2, now),
                None if span == 0 else times.door(words, "open", now + span, now),
                None if span == 0 else times.door(words, "closed", now + span, now),
                times.expiry(words, now + span, now),
            ]
            for span in spans
        ]
        assert said == expected


async def test_nothing_came_from_elsewhere_and_no_policy_was_broken(town: Night) -> None:
    """The last test of the file: all pages that were open before it are counted."""
    async with town.page(town.outreach) as page:
        for path in pages(town):
            await page.goto(town.address + path)
    assert town.foreign == []
    assert [said for said in town.said if not re.search("404|401|ERR_FAILED|ERR_INTERNET_DISCONNECTED", said)] == []


async def say(town: Night, unit: str, free: int) -> httpx.Response:
    return await town.board.shelter.census(SHELTER, unit, available=free, as_of=moment())


def plain(html: str) -> str:
    """What stands on a card, but for the ages."""
    return re.sub(r"\s+", " ", re.sub(r"reported [^<]*", "", html))


async def focused(page: Page) -> str:
    return str(
        await page.evaluate(
            "(document.activeElement.id || document.activeElement.textContent).trim().replace(/\\s+/g, ' ')"
        )
    )


async def tab_to(page: Page, name: str) -> None:
    """Press Tab until the element with this text or id has the focus, and is seen to have it."""
    for _ in range(150):
        await page.keyboard.press("Tab")
        if await focused(page) == name:
            outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", name
            return
    raise AssertionError(f"no way to {name} by keyboard")
