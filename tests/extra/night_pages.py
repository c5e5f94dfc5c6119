"""The board of one night at a port, and browser pages that are signed in to it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from playwright.async_api import Browser, Page

from tests.extra.tools import chromium
from tests.support.board import Board, moment, running_board
from tests.support.night import asked_and_held, told
from tests.support.shelter import OUTREACH, SHELTER


@dataclass
class Night:
    """The night's board; `foreign` are requests to another host and `said` the errors in the console, of all pages."""

    board: Board
    browser: Browser
    address: str
    units: dict[str, str]
    hold: str
    referred: str
    foreign: list[str]
    said: list[str]
    sessions: dict[str, Any]
    outreach: str = OUTREACH
    shelter: str = SHELTER

    @asynccontextmanager
    async def page(self, organization: str = OUTREACH, **screen: Any) -> AsyncIterator[Page]:
        """A page of a browser in which an organization has signed in; "" has not."""
        if organization and organization not in self.sessions:
            self.sessions[organization] = await self._signed_in(organization)
        state = self.sessions.get(organization)
        context = await self.browser.new_context(**screen, **({"storage_state": state} if state else {}))
        page = await context.new_page()
        page.on("request", lambda request: self._watch(request.url))
        page.on("console", lambda said: self.said.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.said.append(str(error)))
        yield page
        await context.close()

    def _watch(self, url: str) -> None:
        if not url.startswith(f"{self.address}/"):
            self.foreign.append(url)

    async def _signed_in(self, organization: str) -> Any:
        context = await self.browser.new_context()
        await self.sign_in(await context.new_page(), organization)
        state = await context.storage_state()
        await context.close()
        return state

    async def sign_in(self, page: Page, organization: str) -> None:
        credential = self.board.others.credential(organization)
        await page.goto(f"{self.address}/sign-in")
        for name, value in credential.items():
            await page.fill(f"#{name}", value)
        await page.click("button.big")
        await page.wait_for_url(f"{self.address}/board")


@asynccontextmanager
async def night(database_url: str, more: int = 0) -> AsyncIterator[Night]:
    """Run the board of a night, with a hold of the outreach organization and others' requests at a family shelter."""
    async with running_board(database_url) as board, board.at_a_port() as address, chromium() as browser:
        units = await told(board, more)
        await asked_and_held(board, units["Harbor Rooms"], units["St. Brigid Family House"])
        hold = await board.shelter.hold(units["Winter Overflow, Union Hall"], OUTREACH, beds=2, minutes=60)
        referred = await board.shelter.hold(units["Veterans Landing"], OUTREACH, referral_id="referral-0")
        board.others.status, board.others.status_at = "accepted", moment(-120)
        board.others.crossing = {
            "categories": ["identity", "household"],
            "withheld": {"health": "no-consent"},
            "delivered_at": moment(-240),
        }
        await board.settled()
        yield Night(board, browser, address, units, hold["id"], referred["id"], [], [], {})
