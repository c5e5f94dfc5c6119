"""From a card to a referral in a real browser: three presses, and nothing typed is lost, whatever the hold does."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from services.kit.problems import Fault, Problem
from tests.conftest import Databases
from tests.extra.night_pages import Night, night
from tests.extra.tools import violations
from tests.support.board import CLIENT, REFERRED
from tests.support.shelter import OUTREACH, SHELTER

pytestmark = pytest.mark.asyncio(loop_scope="module")
SCREENS: dict[str, dict[str, Any]] = {
    "by day": {"viewport": {"width": 1360, "height": 900}, "color_scheme": "light"},
    "on a phone at night": {"viewport": {"width": 320, "height": 640}, "color_scheme": "dark"},
}
COUNT_PRESSES = "addEventListener('click', ({target}) => target.closest('a, button, summary') && pressed(), true)"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(postgres: Databases) -> AsyncIterator[Night]:
    async with night(postgres.create_database("shelter_beds")) as found:
        yield found


async def held(town: Night, **said: Any) -> dict[str, Any]:
    """A hold of the visitor's at a unit of its own."""
    return await town.board.shelter.hold(await town.board.shelter.unit(3, SHELTER, **said))


async def opened(town: Night, page: Page, hold: dict[str, Any]) -> None:
    await page.goto(f"{town.address}/board/holds/{hold['id']}")
    await page.evaluate("window.kept = true")
    await expect(page.locator("#connection")).to_have_class(re.compile("live"))


@pytest.mark.parametrize("screen", SCREENS)
async def test_find_hold_refer_takes_three_presses(town: Night, screen: str) -> None:
    unit = await town.board.shelter.unit(3, SHELTER, name="Three Presses House")
    await town.board.settled()
    presses: list[str] = []
    async with town.page(OUTREACH, **SCREENS[screen]) as page:
        await page.context.expose_binding("pressed", lambda source: presses.append(source["page"].url))
        await page.context.add_init_script(COUNT_PRESSES)
        await page.goto(f"{town.address}/board")
        await page.locator(f"#unit-{unit} a.button").click()
        await page.get_by_role("button", name="Hold").click()
        await page.locator("#client_id").fill(CLIENT)
        await page.get_by_role("button", name="Send the referral").click()
        await expect(page.locator("#crossing")).to_contain_text("has: identity, household")
        assert [url.removeprefix(town.address).split("/")[2:3] for url in presses] == [[], ["units"], ["holds"]]


@pytest.mark.parametrize("screen", SCREENS)
async def test_whatever_the_page_shows_axe_finds_nothing_and_its_headings_are_in_order(
    town: Night, screen: str
) -> None:
    requested = await held(town, hold_policy="request")
    placed = await held(town, name="Refused House")
    async with town.page(OUTREACH, **SCREENS[screen]) as page:
        for hold in (requested, placed):
            await opened(town, page, hold)
            await sound(page)
            await expect(page.get_by_role("button", name="Send the referral")).to_be_visible()
        for path in ("refer", "extension"):
            await page.locator("#client_id").fill("client-1" * 3)
            town.board.others.refusing = Problem("client-not-registered", faults=[Fault("members.0.client_id", "")])
            await page.get_by_role("button", name="Send" if path == "refer" else "Extend").click()
            await expect(page).to_have_url(re.compile(f"/{path}$"))
            await sound(page)
        await expect(page.get_by_role("button", name="Extend")).to_have_count(0)
        town.board.others.refusing = None
        await page.locator("#hold-form [name=csrf]").evaluate("field => field.value = 'too old'")
        await page.get_by_role("button", name="Send the referral").click()
        await expect(page.get_by_role("alert")).to_contain_text("too old")
        await sound(page)
        await page.get_by_role("button", name="Send the referral").click()
        await expect(page.locator("#crossing")).to_be_visible()
        await sound(page)


async def test_a_refused_form_leads_to_its_fault(town: Night) -> None:
    hold = await held(town)
    async with town.page(OUTREACH, **SCREENS["on a phone at night"]) as page:
        for name, focused in (("client-not-registered", "client_id"), ("vsp-no-release", "signed release")):
            town.board.others.refusing = Problem(name, faults=[Fault(f"members.0.{focused}", "")])
            await opened(town, page, hold)
            await page.locator("#client_id").fill(CLIENT)
            await page.locator("#client_id").press("Enter")
            at = page.locator(":focus")
            await expect(at).to_be_in_viewport()
            assert focused in await at.evaluate("field => field.id || field.textContent")
        town.board.others.refusing = None


async def test_what_is_being_typed_stays_where_it_is_while_the_hold_changes(town: Night) -> None:
    shelter = town.board.shelter
    hold = await held(town, hold_policy="request")
    async with town.page(OUTREACH, **SCREENS["by day"]) as page:
        await opened(town, page, hold)
        client_id, ticket = page.locator("#client_id"), page.locator("#ticket")
        await client_id.press_sequentially("client-")
        await shelter.post(SHELTER, f"/holds/{hold['id']}/answer", {"accept": True})
        await expect(ticket).to_contain_text("Say this code at the door")
        await expect(client_id).to_be_focused()
        await page.keyboard.type("0123")
        await shelter.post(OUTREACH, f"/holds/{hold['id']}/extension")
        await expect(ticket.get_by_role("button")).to_have_count(0)
        await expect(client_id).to_be_focused()
        await page.keyboard.type(CLIENT.removeprefix("client-0123"))
        await client_id.blur()
        await shelter.http.delete(f"/holds/{hold['id']}", headers=shelter.headers(SHELTER))
        await expect(ticket).to_contain_text("This hold is over")
        await looked_again(page)
        await expect(client_id).to_have_value(CLIENT)
        assert await page.evaluate("window.kept"), "then the page was loaded again"
        await page.get_by_role("button", name="Send the referral").click()
        await expect(page.locator(".told")).to_contain_text("The referral stands by itself")
    assert town.board.others.referred[-1]["members"][0]["client_id"] == CLIENT


@pytest.mark.parametrize("name", ["call_back", "pets", "dob", "household_size"])
async def test_any_field_that_was_filled_in_keeps_the_form(town: Night, name: str) -> None:
    hold = await held(town)
    async with town.page(OUTREACH, **SCREENS["by day"]) as page:
        await opened(town, page, hold)
        field = page.locator(f"[name={name}]")
        if name == "call_back":
            await field.select_option("night-team")
        elif name == "pets":
            await field.check()
        else:
            await field.fill(REFERRED[name])
        await field.blur()
        shelter = town.board.shelter
        await shelter.http.delete(f"/holds/{hold['id']}", headers=shelter.headers(SHELTER))
        await expect(page.locator("#ticket")).to_contain_text("This hold is over")
        await looked_again(page)
        await expect(page.get_by_role("button", name="Send the referral")).to_be_visible()


async def test_a_form_that_nobody_filled_in_follows_the_hold(town: Night) -> None:
    shelter = town.board.shelter
    over, referred = await held(town), await held(town)
    async with town.page(OUTREACH, **SCREENS["by day"]) as page:
        await opened(town, page, over)
        await shelter.http.delete(f"/holds/{over['id']}", headers=shelter.headers(SHELTER))
        await expect(page.locator("#client_id")).to_have_count(0)
        await opened(town, page, referred)
        await shelter.patch(OUTREACH, f"/holds/{referred['id']}", referral_id="referral-0")
        await expect(page.locator("#crossing")).to_contain_text("has: identity, household")
        await page.get_by_role("button", name="Extend").click()
        await expect(page.get_by_role("button", name="Extend")).to_have_count(0)
        assert await page.evaluate("location.pathname") == f"/board/holds/{referred['id']}"


@pytest.mark.parametrize("has_script", [True, False])
async def test_enter_sends_and_extending_keeps_what_was_typed(town: Night, has_script: bool) -> None:
    hold = await held(town)
    async with town.page(OUTREACH, java_script_enabled=has_script) as page:
        await page.goto(f"{town.address}/board/holds/{hold['id']}")
        await page.get_by_label("First name").fill("Canary-Rosa")
        await page.get_by_role("button", name="Extend").click()
        await expect(page.get_by_role("button", name="Extend")).to_have_count(0)
        await expect(page.get_by_label("First name")).to_have_value("Canary-Rosa")
    hold = await held(town)
    async with town.page(OUTREACH, java_script_enabled=has_script) as page:
        await page.goto(f"{town.address}/board/holds/{hold['id']}")
        await page.locator("#client_id").fill(CLIENT)
        await page.locator("#client_id").press("Enter")
        await expect(page.locator("#crossing")).to_be_visible()
        await expect(page.get_by_role("button", name="Extend")).to_be_visible()


async def test_contacts_come_when_governance_is_back(town: Night) -> None:
    hold = await held(town)
    async with town.page(OUTREACH, **SCREENS["by day"]) as page:
        town.board.others.contacts = []
        town.board.others.ahead += 60
        await opened(town, page, hold)
        await expect(page.locator("#contacts")).to_contain_text("no contact yet")
        await page.locator("#client_id").fill(CLIENT)
        del town.board.others.contacts[:]
        town.board.others.contacts = [{"id": "desk", "name": "Ana at the desk", "phone": None}]
        await expect(page.locator("#call_back")).to_have_value("desk")
        await expect(page.locator("#client_id")).to_have_value(CLIENT)


async def looked_again(page: Page) -> None:
    """Wait until the page's script has looked at the hold twice more: what it does with what it saw first is done."""
    for _ in range(2):
        async with page.expect_response(re.compile("/board/holds/")):
            pass


async def sound(page: Page) -> None:
    """The page is for everybody."""
    assert await violations(page) == []
    levels = await page.evaluate("[...document.querySelectorAll('h1, h2, h3')].map((each) => each.tagName)")
    assert levels.count("H1") == 1
    assert levels[0] == "H1"
    assert "H3" not in levels
    assert not await page.evaluate("document.documentElement.scrollWidth > innerWidth")
