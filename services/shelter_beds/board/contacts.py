"""Whom a shelter may call back: an organization's contacts, as governance told them last."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from fastapi import Request

from services.kit.clients import DependencyDown
from services.shelter_beds.board import asking
from services.shelter_beds.board.sessions import Visitor

Contact = dict[str, Any]

FRESH_SECONDS: Final = 30
"""For so long nobody asks again: a page that follows its hold is made every few seconds."""
AWAY_SECONDS: Final = 15
"""For so long nobody waits again for a governance that did not answer."""
PATIENCE_SECONDS: Final = 1.0


class Contacts:
    """Contacts by organization; `clock` gives Unix time."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: dict[str, list[Contact]] = {}
        self._ask_again_at: dict[str, float] = {}

    async def of(self, request: Request, visitor: Visitor) -> list[Contact] | None:
        """Return the contacts of a visitor's organization; None while governance is away and has told none before."""
        organization = visitor.session.organization
        if self._clock() >= self._ask_again_at.get(organization, 0.0):
            self._ask_again_at[organization] = self._clock() + AWAY_SECONDS  # nobody asks beside whoever asks now
            with suppress(DependencyDown, TimeoutError):
                async with asyncio.timeout(PATIENCE_SECONDS):
                    answer = await asking.call(request, visitor, "governance", "GET", f"/organizations/{organization}")
                if answer.is_success:
                    found = self._known[organization] = answer.json().get("contacts") or []
                    kept = FRESH_SECONDS if found else 0  # who has none adds one now
                    self._ask_again_at[organization] = self._clock() + kept
        return self._known.get(organization)
