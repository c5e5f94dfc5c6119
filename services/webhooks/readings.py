"""Asks the custodian what of items may be shown at this moment, and tells it and the log what became of the answers."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncSession

from services.kit.clients import DependencyDown
from services.kit.database import Database
from services.webhooks import inbox_items
from services.webhooks.alarms import unmade
from services.webhooks.custodian import CONSENT, Custodian, CustodianDownError, CustodianRefusedError, Release
from services.webhooks.inbox_items import Item
from services.webhooks.lease import Clock, Lease, LeasePassedError, since_boot
from services.webhooks.messages import Message
from services.webhooks.model import Unmade
from services.webhooks.render import UnrenderableError, render
from services.webhooks.settlements import Settlements

ASKED_AT_ONCE: Final = 8


@dataclass(frozen=True)
class Reading:
    """An item, what the custodian released of it, and the message that may be shown, or why none could be made."""

    item: Item
    lease: Lease
    release: Release | None = None
    message: Message | None = field(default=None, repr=False)
    unmade: Unmade | None = None

    @property
    def release_id(self) -> str | None:
        """The release to settle, if there is one."""
        return self.release.release_id if self.release else None


class Readings:
    """Makes readings for the inboxes of all organizations. `clock` is the leases'."""

    def __init__(
        self, database: Database, custodian: Custodian, settlements: Settlements, clock: Clock = since_boot
    ) -> None:
        self._database = database
        self._custodian = custodian
        self._settlements = settlements
        self._clock = clock
        self._asking = asyncio.Semaphore(ASKED_AT_ONCE)

    async def ask(self, items: Sequence[Item]) -> list[Reading | None]:
        """Ask about items, all at once; None for each about which the custodian can't say."""
        return await asyncio.gather(*(self._asked(item) for item in items))

    async def note(self, session: AsyncSession, reading: Reading) -> None:
        """Tell the log of a reading before anything of it is sent."""
        if reading.message is not None:
            await inbox_items.show(session, reading.item, reading.release)
        elif reading.unmade is not None:
            self.drop(reading)
            await inbox_items.put_off(session, reading.item, reading.unmade, reading.release)
        else:
            await inbox_items.withhold(session, reading.item, reading.release)

    async def leave_out(self, session: AsyncSession, reading: Reading) -> None:
        """Tell that what was released is not shown in this answer; in another it may be."""
        self.drop(reading)
        await inbox_items.say(session, reading.item, "not_sent", reading.release)

    def drop(self, *readings: Reading | None) -> None:
        """Tell the custodian that nothing of these is sent."""
        for reading in readings:
            if reading is not None:
                self._settlements.note(reading.release_id, "not_sent")

    def check_leases(self, readings: Sequence[Reading]) -> None:
        """Raise DependencyDown, with nothing sent, if it is too late for any of what is to be sent together."""
        try:
            for reading in readings:
                reading.lease.check()
        except LeasePassedError:
            self.drop(*readings)
            raise DependencyDown(CONSENT) from None

    async def sent(self, readings: Sequence[Reading]) -> None:
        """Settle what was sent, and tell the log."""
        for reading in readings:
            self._settlements.note(reading.release_id, "delivered")
        async with self._database.transaction() as session:
            for reading in readings:
                await inbox_items.say(session, reading.item, "delivered", reading.release)

    async def _asked(self, item: Item) -> Reading | None:
        async with self._asking:
            lease = Lease(self._clock)
            try:
                release = await self._custodian.release(item.told, item.attempt, "inbox", is_void=item.is_void)
            except CustodianDownError:
                return None
            except CustodianRefusedError as error:
                return Reading(item, lease, unmade=unmade("inbox", error))
        lease.lasts(release.lease_seconds)
        return _rendered(item, lease, release)


def in_order(readings: Sequence[Reading]) -> list[Reading]:
    """Return them in the one order in which rows are locked."""
    return sorted(readings, key=lambda reading: reading.item.number)


def _rendered(item: Item, lease: Lease, release: Release) -> Reading:
    keyless = replace(release, keys=())
    if release.verdict == "withheld":
        return Reading(item, lease, keyless)
    try:
        return Reading(item, lease, keyless, render(item.told, release))
    except UnrenderableError as error:
        return Reading(item, lease, keyless, unmade=unmade("inbox", error))
