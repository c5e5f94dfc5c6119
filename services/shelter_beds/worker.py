"""What runs beside the API: the relay, the reader of referrals' lifecycle, the clock, and what hides units."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from services.kit import database, logs
from services.kit.admission import is_storable
from services.kit.beside import beside
from services.kit.broker import Record
from services.kit.clients import ServiceClient
from services.kit.database import Database
from services.kit.outbox import OutboxRow
from services.kit.reader import DatabaseReader
from services.kit.relay import Relay
from services.kit.required import require_topics
from services.kit.settings import DatabaseSettings
from services.shelter_beds import hiding, holds, restored, store, units
from services.shelter_beds.desk import Withdrawn
from services.shelter_beds.model import EndReason

TOPIC: Final = "client-events"
SWEPT_EVERY: Final = 0.5  # seconds
SWEPT_AT_ONCE: Final = 200  # units
PATIENCE: Final = 0.25  # seconds; nobody waits for a hold to end, and hardly any record is about one

_REASONS: Final[dict[str, EndReason]] = {
    "referral.declined": "referral_declined",
    "referral.cancelled": "referral_cancelled",
    "referral.expired": "referral_expired",
    "referral.entered_in_error": "referral_entered_in_error",
}


class _Originator(msgspec.Struct):
    organization: str


class _Referral(msgspec.Struct):
    id: str
    originator: _Originator


class _Data(msgspec.Struct):
    referral: _Referral


class _Ended(msgspec.Struct):
    """As much of a lifecycle event as says which referral is over, and whose it was: no client."""

    data: _Data


class _Typed(msgspec.Struct):
    type: str


_TYPED: Final = msgspec.json.Decoder(_Typed)
_ENDED: Final = msgspec.json.Decoder(_Ended)


@asynccontextmanager
async def working(
    settings: DatabaseSettings, database_of_ours: Database, governance: ServiceClient
) -> AsyncIterator[None]:
    """Relay, follow, expire and hide while the block runs."""
    service, url = settings.service, settings.database_url
    await require_topics(settings.kafka, service)
    await restored.check(settings.kafka, database_of_ours)
    reader = DatabaseReader(service, TOPIC, settings.kafka, url, follow, patience=PATIENCE)
    relay = Relay(service, url, settings.kafka, _as_written)
    async with AsyncExitStack() as running:
        await running.enter_async_context(relay.running())
        await running.enter_async_context(reader.running())
        await running.enter_async_context(beside(_sweep(database_of_ours)))
        with suppress(*hiding.AWAY):  # once before anybody is shown anything: units may be from before they knew `test`
            await hiding.hide(database_of_ours, governance)
        await running.enter_async_context(beside(hiding.keep_hiding(database_of_ours, governance)))
        yield


async def follow(session: AsyncSession, records: Sequence[Record]) -> None:
    """End the holds for referrals that came to nothing or were made in error; nothing else is looked at."""
    ended: dict[tuple[str, str], EndReason] = {}
    for record in records:
        if (found := _ended(record.value)) is not None:
            referral, reason = found
            ended.setdefault((referral.id, referral.originator.organization), reason)
    if ended:
        await holds.release_for(session, ended)


async def sweep(database_of_ours: Database) -> None:
    """End what is over and let the hours strike that are due, by the database's clock."""
    async with database_of_ours.transaction() as session:
        moment = await database.now(session)
        due = await store.units_with_due_holds(session, moment, SWEPT_AT_ONCE)
        woken = await store.units_to_wake(session, moment, SWEPT_AT_ONCE)
    for unit_id in dict.fromkeys((*due, *woken)):
        with suppress(Withdrawn):
            async with database_of_ours.transaction() as session:
                await units.wake(session, unit_id)


def _ended(value: bytes | None) -> tuple[_Referral, EndReason] | None:
    """Return the referral that a record ends; what can't be read is the boundary's matter."""
    try:
        reason = _REASONS.get(_TYPED.decode(value or b"").type)
        referral = _ENDED.decode(value or b"").data.referral if reason else None
    except (msgspec.DecodeError, RecursionError):
        return None
    if reason is None or referral is None or not is_storable(referral.id):
        return None
    return referral, reason


def _as_written(row: OutboxRow) -> bytes:
    """Return a row's record: what is said of beds is not signed."""
    return row.body


async def _sweep(database_of_ours: Database) -> None:
    while True:
        try:
            await sweep(database_of_ours)
        except Database.away as error:
            logs.get().warning("holds wait for the database to end", **logs.describe(error))
        await asyncio.sleep(SWEPT_EVERY)
