"""Pictures of the board's pages, for people to look at: docs/screenshots."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page

from tests.conftest import Databases
from tests.extra.night_pages import Night, night
from tests.support.tree import ROOT

pytestmark = pytest.mark.asyncio(loop_scope="module")
FOLDER = ROOT / "docs" / "screenshots"
LARGEST = 260_000  # bytes
DESKTOP: dict[str, Any] = {"viewport": {"width": 1360, "height": 900}, "color_scheme": "light"}
PHONE: dict[str, Any] = {"viewport": {"width": 360, "height": 780}, "color_scheme": "dark", "device_scale_factor": 2}
WALL: dict[str, Any] = {"viewport": {"width": 1920, "height": 1080}, "color_scheme": "dark"}
TABLET: dict[str, Any] = {"viewport": {"width": 820, "height": 1180}, "color_scheme": "light"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(postgres: Databases) -> AsyncIterator[Night]:
    async with night(postgres.create_database("shelter_beds")) as found:
        yield found


async def test_the_pages_have_their_pictures(town: Night) -> None:
    for name, screen, organization, path in (
        ("board", DESKTOP, town.outreach, "/board"),
        ("board-spanish", DESKTOP, town.outreach, "/board?lang=es&household_type=with_children"),
        ("board-empty", DESKTOP, town.outreach, "/board?pets=true&couples=true&household_type=with_children"),
        ("board-phone-night", PHONE, town.outreach, "/board?open=true"),
        ("wall", WALL, town.outreach, "/board?view=wall"),
        ("hold", PHONE, town.outreach, f"/board/holds/{town.hold}"),
        ("referred", TABLET, town.outreach, f"/board/holds/{town.referred}"),
        ("desk", TABLET, town.shelter, f"/board/desk?unit={town.units['St. Brigid Family House']}"),
        ("hold-desktop", DESKTOP, town.outreach, f"/board/holds/{town.hold}"),
        ("hold-form", TABLET, town.outreach, f"/board/units/{town.units['Harbor Rooms']}/hold?beds=2"),
        ("sign-in", PHONE, "", "/sign-in"),
    ):
        async with town.page(organization, **screen) as page:
            await page.goto(town.address + path)
            await page.wait_for_load_state()
            if path.startswith("/board?") or path == "/board":
                await page.wait_for_selector(".connection.live")
            await taken(page, FOLDER / f"{name}.png", whole=name in {"desk", "hold-desktop"})


async def taken(page: Page, path: Path, *, whole: bool) -> None:
    path.parent.mkdir(exist_ok=True)
    await page.screenshot(path=path, full_page=whole)
    assert path.stat().st_size < LARGEST
