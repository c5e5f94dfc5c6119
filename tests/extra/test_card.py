"""A client's card in a browser: it is one sheet, fits a phone, and reaches for nothing."""

import re
from datetime import UTC, datetime

import pytest
from playwright.async_api import Browser, ConsoleMessage, Request, Route

from services.consent.cards import Language, card
from tests.extra.tools import violations

CODE = "7KQ2-M8XR-4TG"
ADDRESS = "https://card.test/"
LANGUAGES: tuple[Language, ...] = ("en", "es")


@pytest.mark.parametrize("width", [320, 820])
@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_card_is_one_sheet_for_everybody(browser: Browser, language: Language, width: int) -> None:
    answer = card(CODE, datetime(2027, 9, 30, tzinfo=UTC), language, "1-800-555-0142")
    asked: list[str] = []
    said: list[str] = []

    async def answered(route: Route) -> None:
        await route.fulfill(status=answer.status_code, headers=dict(answer.headers), body=bytes(answer.body))

    def asks(request: Request) -> None:
        asked.append(request.url)

    def says(message: ConsoleMessage) -> None:
        said.append(message.text)

    page = await browser.new_page(viewport={"width": width, "height": 700})
    page.on("request", asks)
    page.on("console", says)
    await page.route("**/*", answered)
    await page.goto(ADDRESS)
    assert await page.locator(".code").inner_text() == CODE
    styled = "getComputedStyle(document.querySelector('.card')).borderTopStyle"
    assert await page.evaluate(styled) == "dashed", "the policy lets its own style in"
    assert not await page.evaluate("document.documentElement.scrollWidth > innerWidth")
    assert await violations(page) == []
    for paper in ("A4", "Letter"):
        printed = await page.pdf(format=paper, prefer_css_page_size=True)
        assert len(re.findall(rb"/Type\s*/Page\b(?!s)", printed)) == 1
    assert (set(asked) - {f"{ADDRESS}favicon.ico"}, said) == ({ADDRESS}, [])
    await page.close()
