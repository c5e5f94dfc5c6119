"""Fixtures of the tests in a browser."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser

from tests.extra.tools import chromium


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Chromium, for one test."""
    async with chromium() as running:
        yield running
