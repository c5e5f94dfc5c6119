"""The tools see what they are for: axe finds what is planted, and nothing in a page that has no fault."""

from playwright.async_api import Browser

from tests.extra.tools import violations

PAGE = '<!doctype html><html lang="en"><title>Beds</title><main><h1>Beds</h1>{}</main></html>'


async def test_axe_finds_a_planted_violation(browser: Browser) -> None:
    page = await browser.new_page()

    await page.set_content(PAGE.format('<img src="data:,">'))
    assert [each["id"] for each in await violations(page)] == ["image-alt"]

    await page.set_content(PAGE.format("<p>7 free</p>"))
    assert await violations(page) == []
