"""Chromium and Node, as the tests here use them; one that is missing fails the test that needs it."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Browser, Page, async_playwright

HERE: Final = Path(__file__).parent
AXE: Final = HERE / "node_modules" / "axe-core" / "axe.min.js"
WCAG: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
CHROMIUM_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")


class MissingToolError(Exception):
    """A tool that the tests need is not installed; the message says which and how to get it."""


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Run the system's Chromium without a window while the block runs."""
    found = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if found is None:
        raise MissingToolError("Chromium is not installed: `apt-get install chromium`.")
    # Chromium's sandbox does not start as root, which is who continuous integration is.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=found, args=arguments)
        try:
            yield browser
        finally:
            await browser.close()


async def violations(page: Page) -> list[dict[str, Any]]:
    """Return what axe finds wrong with a page by WCAG 2.2 A and AA: one `{"id", "help", "nodes"}` for each rule."""
    # Not as a script of the page: its content security policy would refuse it, as it should.
    await page.evaluate(AXE.read_text(encoding="utf-8"))
    rules = {"runOnly": {"type": "tag", "values": list(WCAG)}, "resultTypes": ["violations"]}
    found = await page.evaluate("rules => axe.run(document, rules).then(said => said.violations)", rules)
    return [
        {"id": each["id"], "help": each["help"], "nodes": [node["html"] for node in each["nodes"]]} for each in found
    ]


async def start_node(script: str, *arguments: str) -> asyncio.subprocess.Process:
    """Start a script of this folder in Node; what it prints is in `stdout`."""
    node = shutil.which("node")
    if node is None:
        raise MissingToolError("Node is not installed: `apt-get install nodejs npm`.")
    return await asyncio.create_subprocess_exec(
        node, str(HERE / script), *arguments, stdout=asyncio.subprocess.PIPE, cwd=HERE
    )


async def line_of(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """Return the next line that a script prints, which is a JSON object."""
    if process.stdout is None:
        raise ValueError("nobody reads what this script prints")
    line = await asyncio.wait_for(process.stdout.readline(), 30)
    said: dict[str, Any] = json.loads(line)
    return said
