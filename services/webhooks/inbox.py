"""The inbox: what an organization was told, page by page, each item as the custodian allows it at this moment."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.kit.clients import DependencyDown
from services.kit.database import Database
from services.webhooks import inbox_items
from services.webhooks.cursors import Cursors
from services.webhooks.custodian import CONSENT
from services.webhooks.inbox_items import Item, Noticed
from services.webhooks.leased_answer import LeasedAnswer
from services.webhooks.readings import Reading, Readings, in_order
from services.webhooks.render import to_json

CHUNK: Final = 16
PAGE_SECONDS: Final = 1.0
"""A page that takes longer ends early: its first items' leases must not pass."""


@dataclass(frozen=True)
class Page:
    """A page to be sent while its leases last, in order; `position` is where the next one begins."""

    shown: Sequence[Reading | Noticed]
    position: int

    @property
    def readings(self) -> list[Reading]:
        """What of it was released."""
        return [each for each in self.shown if isinstance(each, Reading)]


class Inbox:
    """Reads the inboxes of all organizations."""

    def __init__(self, database: Database, readings: Readings, cursors: Cursors) -> None:
        self._database = database
        self._readings = readings
        self._cursors = cursors

    async def answer(self, organization: str, after: str | None, limit: int) -> LeasedAnswer:
        """Make the answer with up to `limit` items after a cursor. DependencyDown when the custodian can't say.

        The cursor of what follows stands in it; none in an empty one, which says no more than "nothing new".
        """
        page = await self._page(organization, 0 if after is None else self._cursors.read(organization, after), limit)
        items = b",".join(body for each in page.shown if (body := _body(each)) is not None)
        following = self._cursors.write(organization, page.position) if page.shown else None
        content = b'{"items":[' + items + b'],"next":' + json.dumps(following).encode() + b"}"
        return LeasedAnswer(self._readings, page.readings, content)

    async def _page(self, organization: str, position: int, limit: int) -> Page:
        page = Page([], position)
        began = time.monotonic()
        while len(page.shown) < limit and (not page.shown or time.monotonic() - began < PAGE_SECONDS):
            wanted = min(limit - len(page.shown), CHUNK)
            async with self._database.transaction() as session:
                items = await inbox_items.take(session, organization, page.position, wanted)
            if not items:
                break
            answered = self._until_it_was_away(await self._asked(items))
            if not answered and not page.shown:
                raise DependencyDown(CONSENT)
            page = await self._extended(page, answered)
            if len(answered) < len(items):
                break
        return page

    async def _asked(self, items: Sequence[Item | Noticed]) -> list[Reading | Noticed | None]:
        """Ask about decisions; of a notice nobody needs to be asked."""
        asked = iter(await self._readings.ask([item for item in items if isinstance(item, Item)]))
        return [next(asked) if isinstance(item, Item) else item for item in items]

    def _until_it_was_away(self, asked: Sequence[Reading | Noticed | None]) -> list[Reading | Noticed]:
        """Return the answers before the first that is missing; what was released after that one is not sent."""
        end = asked.index(None) if None in asked else len(asked)
        self._readings.drop(*(each for each in asked[end:] if isinstance(each, Reading)))
        return [each for each in asked[:end] if each is not None]

    async def _extended(self, page: Page, answered: Sequence[Reading | Noticed]) -> Page:
        """Add what may be shown, once the log will be told of every release."""
        if not answered:
            return page
        async with self._database.transaction() as session:
            for reading in in_order([each for each in answered if isinstance(each, Reading)]):
                await self._readings.note(session, reading)
        shown = [each for each in answered if isinstance(each, Noticed) or each.message is not None]
        return Page([*page.shown, *shown], _position(answered[-1]))


def _position(answered: Reading | Noticed) -> int:
    return answered.position if isinstance(answered, Noticed) else answered.item.position


def _body(answered: Reading | Noticed) -> bytes | None:
    """What is shown of it, if anything."""
    if isinstance(answered, Noticed):
        return answered.body
    return None if answered.message is None else to_json(answered.message)
