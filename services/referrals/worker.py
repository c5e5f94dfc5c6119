"""What runs beside the API: the relay, the three readers, the clock, and who tells of ends, in doubt again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from services.kit import logs
from services.kit.beside import beside
from services.kit.control import ControlView, followed
from services.kit.database import Database
from services.kit.outbox import OutboxRow
from services.kit.reader import DatabaseReader, answered_offset
from services.kit.relay import Relay
from services.kit.required import require_topics
from services.kit.settings import DatabaseSettings
from services.kit.together import together
from services.referrals import ended, lifecycle, publishing, reading, restored, unheard

STRUCK_EVERY: Final = 1.0  # seconds
TOLD_EVERY: Final = 0.5  # seconds
PATIENCE_WITH_DELIVERIES: Final = 0.25  # seconds; a request waits for these in the seldom case only
PATIENCE_WITH_CONTROL: Final = 0.25  # seconds; before a name is refused as unknown, the log is read to its end
"""The other readers have none: whoever was told a moment ago, and asks, must find what it was told."""


def reader_of_disclosures(settings: DatabaseSettings) -> DatabaseReader:
    """Make the reader that the API asks how far it has come."""
    return DatabaseReader(
        settings.service,
        "disclosures",
        settings.kafka,
        settings.database_url,
        reading.apply_disclosures,
        source_offset=answered_offset,
    )


def relay_of(settings: DatabaseSettings) -> Relay:
    """Make the relay that the API wakes."""
    return Relay(settings.service, settings.database_url, settings.kafka, _as_written)


@asynccontextmanager
async def working(
    settings: DatabaseSettings, database: Database, view: ControlView, disclosures: DatabaseReader, relay: Relay
) -> AsyncIterator[None]:
    """Relay, read, nudge, expire and tell while the block runs; it begins once the log has."""
    service, url = settings.service, settings.database_url
    await require_topics(settings.kafka, service)
    await restored.check(settings.kafka, database)
    readers = (
        DatabaseReader(service, publishing.TOPIC, settings.kafka, url, reading.apply_events),
        disclosures,
        DatabaseReader(
            service,
            "deliveries",
            settings.kafka,
            url,
            reading.apply_deliveries,
            patience=PATIENCE_WITH_DELIVERIES,
        ),
    )
    async with AsyncExitStack() as running:
        await running.enter_async_context(followed(settings.kafka, view, patience=PATIENCE_WITH_CONTROL))
        await view.began()
        await running.enter_async_context(relay.running())
        await running.enter_async_context(together(*(reader.running() for reader in readers)))
        await running.enter_async_context(beside(_strike(database)))
        await running.enter_async_context(beside(_tell(database)))
        yield


def _as_written(row: OutboxRow) -> bytes:
    """Return a row's record: a referral's events are not signed."""
    return row.body


async def _strike(database: Database) -> None:
    while True:
        try:
            await lifecycle.nudge(database)
            await lifecycle.expire(database)
        except Database.away as error:
            logs.get().warning("referrals wait for the database to expire", **logs.describe(error))
        await asyncio.sleep(STRUCK_EVERY)


async def _tell(database: Database) -> None:
    while True:
        try:
            await ended.tell(database)
            await unheard.say_again(database)
        except Database.away as error:
            logs.get().warning("ends of consents and unheard words wait for the database", **logs.describe(error))
        await asyncio.sleep(TOLD_EVERY)
