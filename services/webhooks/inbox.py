"""The inbox: what an organization was told, page by page, each item as the custodian allows it at this moment."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncSession

from services.kit.clients import DependencyDown
from services.kit.database import Database
from services.webhooks import inbox_items
from services.webhooks.alarms import unmade
from services.webhooks.cursors import Cursors
from services.webhooks.custodian import CONSENT, Custodian, CustodianDownError, CustodianRefusedError, Release
from services.webhooks.inbox_items import Item
from services.webhooks.lease import Clock, Lease, LeasePassedError, since_boot
from services.webhooks.model import Unmade
from services.webhooks.render import UnrenderableError, render, to_json
from services.webhooks.settlements import Settlements

ASKED_AT_ONCE: Final = 8
CHUNK: Final = 16
PAGE_SECONDS: Final = 1.0
"""A page that takes longer ends early: its first items' leases must not pass."""


@dataclass(frozen=True)
class Reading:
    """An item, what the custodian released of it, and the body that may be shown, or why none could be made."""

    item: Item
    lease: Lease
    release: Release | None = None
    body: bytes | None = field(default=None, repr=False)
    unmade: Unmade | None = None

    @property
    def release_id(self) -> str | None:
        """The release to settle, if there is one."""
        return self.release.release_id if self.release else None


@dataclass(frozen=True)
class Page:
    """A page to be sent while its leases last; `position` is where the next one begins."""

    readings: Sequence[Reading]
    position: int


class Inbox:
    """Reads the inboxes of all organizations. `clock` is the leases'."""

    def __init__(
        self,
        database: Database,
        custodian: Custodian,
        settlements: Settlements,
        cursors: Cursors,
        clock: Clock = since_boot,
    ) -> None:
        self._database = database
        self._custodian = custodian
        self._settlements = settlements
        self._cursors = cursors
        self._clock = clock
        self._asking = asyncio.Semaphore(ASKED_AT_ONCE)

    async def page(self, organization: str, after: str | None, limit: int) -> Page:
        """Read up to `limit` items after a cursor. DependencyDown when the custodian can't say."""
        position = 0 if after is None else self._cursors.read(organization, after)
        page = Page([], position)
        began = time.monotonic()
        while len(page.readings) < limit and (not page.readings or time.monotonic() - began < PAGE_SECONDS):
            wanted = min(limit - len(page.readings), CHUNK)
            async with self._database.transaction() as session:
                items = await inbox_items.take(session, organization, page.position, wanted)
            if not items:
                break
            asked = await asyncio.gather(*(self._asked(item) for item in items))
            answered = self._until_it_was_away(asked)
            if not answered and not page.readings:
                raise DependencyDown(CONSENT)
            page = await self._extended(page, answered)
            if len(answered) < len(items):
                break
        return page

    def next_cursor(self, organization: str, page: Page) -> str | None:
        """Return the cursor of what follows a page; None after an empty one, which says no more than "nothing new"."""
        return self._cursors.write(organization, page.position) if page.readings else None

    def check_leases(self, page: Page) -> None:
        """Raise DependencyDown, with nothing sent, if it is too late for any item."""
        try:
            for reading in page.readings:
                reading.lease.check()
        except LeasePassedError:
            for reading in page.readings:
                self._settlements.note(reading.release_id, "not_sent")
            raise DependencyDown(CONSENT) from None

    async def sent(self, page: Page) -> None:
        """Settle a page that was sent, and tell the log."""
        for reading in page.readings:
            self._settlements.note(reading.release_id, "delivered")
        async with self._database.transaction() as session:
            for reading in page.readings:
                await inbox_items.say(session, reading.item, "delivered", reading.release)

    async def _asked(self, item: Item) -> Reading | None:
        """Ask the custodian about an item; None if it is away."""
        async with self._asking:
            lease = Lease(self._clock)
            try:
                release = await self._custodian.release(item.told, item.attempt, "inbox")
            except CustodianDownError:
                return None
            except CustodianRefusedError as error:
                return Reading(item, lease, unmade=unmade("inbox", error))
        lease.lasts(release.lease_seconds)
        return _rendered(item, lease, release)

    def _until_it_was_away(self, asked: Sequence[Reading | None]) -> list[Reading]:
        """Return the answers before the first that is missing; what was released after that one is not sent."""
        end = asked.index(None) if None in asked else len(asked)
        for reading in asked[end:]:
            if reading is not None:
                self._settlements.note(reading.release_id, "not_sent")
        return [reading for reading in asked[:end] if reading is not None]

    async def _extended(self, page: Page, answered: Sequence[Reading]) -> Page:
        """Add what may be shown, once the log will be told of every release."""
        if not answered:
            return page
        async with self._database.transaction() as session:
            for reading in answered:
                await self._note(session, reading)
        shown = [reading for reading in answered if reading.body is not None]
        return Page([*page.readings, *shown], answered[-1].item.position)

    async def _note(self, session: AsyncSession, reading: Reading) -> None:
        if reading.body is not None:
            await inbox_items.show(session, reading.item, reading.release)
        elif reading.unmade is not None:
            self._settlements.note(reading.release_id, "not_sent")
            await inbox_items.put_off(session, reading.item, reading.unmade, reading.release)
        else:
            await inbox_items.withhold(session, reading.item, reading.release)


def _rendered(item: Item, lease: Lease, release: Release) -> Reading:
    keyless = replace(release, keys=())
    if release.verdict == "withheld":
        return Reading(item, lease, keyless)
    try:
        return Reading(item, lease, keyless, to_json(render(item.told, release)))
    except UnrenderableError as error:
        return Reading(item, lease, keyless, unmade=unmade("inbox", error))
