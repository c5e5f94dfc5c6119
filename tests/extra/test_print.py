"""The list to print: one sheet of paper for 25 units, in a browser that prints."""

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.conftest import Databases
from tests.extra.night_pages import Night, night
from tests.extra.tools import violations
from tests.support.night import NIGHT

pytestmark = pytest.mark.asyncio(loop_scope="module")
UNITS = 25


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(postgres: Databases) -> AsyncIterator[Night]:
    async with night(postgres.create_database("shelter_beds"), more=UNITS - len(NIGHT)) as found:
        yield found


@pytest.mark.parametrize("paper", ["A4", "Letter"])
@pytest.mark.parametrize("language", ["en", "es"])
async def test_25_units_are_one_sheet(town: Night, paper: str, language: str) -> None:
    async with town.page(town.outreach) as page:
        await page.goto(f"{town.address}/board?view=print&lang={language}")
        assert await page.locator("tbody tr").count() == UNITS
        printed = await page.pdf(format=paper, prefer_css_page_size=True)
        assert len(re.findall(rb"/Type\s*/Page\b(?!s)", printed)) == 1
        assert not await page.evaluate("document.documentElement.scrollWidth > innerWidth")
        assert await violations(page) == []
    assert town.foreign == []
    assert town.said == []
