"""Tells the recipients of referrals that a consent ended under which something was disclosed to them.

An end is noted where it is read on the log, and said once our other reader has come to the boundary's answer to that
very record, and has applied all decisions from before it: until then nobody knows what was disclosed under the consent,
nor whether the record is signed. Each end is said once, however often its records are read, and not once the consent
has been renewed; whether a recipient hears of it is for the boundary to decide.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from schemas.events import Consent, ConsentEnded
from schemas.records import ConsentEnteredInError, ConsentExpired, ConsentGranted
from services.kit.broker import Record
from services.kit.database import Database, driver
from services.referrals import publishing, store
from services.referrals.tables import ConsentEnd

TOLD_AT_ONCE: Final = 100
EVERY_VERSION: Final = 0
"""What was entered in error never was, in whichever version."""

Noted = ConsentEnteredInError | ConsentExpired | ConsentGranted

_CONFIRM: Final = (
    "UPDATE consents_ended SET applied = true WHERE (partition, source_offset) IN ("
    " SELECT DISTINCT ON (consent_id, reason, version) partition, source_offset FROM consents_ended AS one"
    " JOIN unnest(CAST(%(partitions)s AS integer[]), CAST(%(offsets)s AS bigint[])) AS said(partition, source_offset)"
    "  USING (partition, source_offset)"
    " WHERE NOT EXISTS (SELECT FROM consents_ended AS other WHERE other.consent_id = one.consent_id"
    "  AND other.reason = one.reason AND other.version = one.version AND other.applied)"
    " ORDER BY consent_id, reason, version, source_offset)"
)
# Null if it was not renewed since; false while the boundary has not answered yet.
_RENEWED: Final = text(
    "SELECT bool_or(applied) FROM consents_ended AS renewed"
    " LEFT JOIN positions AS answered ON topic = 'disclosures' AND answered.partition = renewed.partition"
    ' WHERE consent_id = :consent_id AND reason IS NULL AND "order" > :order'
    "  AND (applied OR coalesce(next, 0) <= source_offset)"
)
_DISCLOSED_UNDER: Final = text(
    "SELECT DISTINCT referral_id FROM decisions JOIN members USING (referral_id, client_id)"
    " WHERE client_id = :client_id AND verdict = 'permit' AND consents @> to_jsonb(CAST(:consent_id AS text))"
    " ORDER BY referral_id"
)


async def note(session: AsyncSession, event: Noted, record: Record) -> None:
    """Note what a record says of a consent's end, or of its renewal, until the boundary has said whether it counts."""
    said = _said(event, record)
    if said is not None:
        place = {"partition": record.partition, "source_offset": record.offset}
        row = {**said, **place, "client_id": event.data.client_id, "order": event.data.order, "applied": False}
        await session.execute(insert(ConsentEnd).values(row).on_conflict_do_nothing())


def _said(event: Noted, record: Record) -> dict[str, object] | None:
    """Of which version it says what; a renewal that is not in force at once leaves the end that was before."""
    match event:
        case ConsentEnteredInError(data=data) if data.revocation.consent_id is not None:
            consent_id, version, reason = data.revocation.consent_id, EVERY_VERSION, "entered-in-error"
            return {"consent_id": consent_id, "version": version, "reason": reason, "told": False}
        case ConsentExpired(data=data):
            consent_id, version = data.consent.id, data.consent.version
            return {"consent_id": consent_id, "version": version, "reason": "expired", "told": False}
        case ConsentGranted(data=data) if data.consent.version > 1 and _in_force(data.consent, record):
            consent_id, version = data.consent.id, data.consent.version
            return {"consent_id": consent_id, "version": version, "reason": None, "told": True}
    return None


async def confirm(session: AsyncSession, places: Sequence[tuple[int, int]]) -> None:
    """Note which records, by partition and offset, the boundary took as what they say; others change nothing."""
    if places:
        partitions, offsets = ([*column] for column in zip(*places, strict=True))
        await (await driver(session)).execute(_CONFIRM, {"partitions": partitions, "offsets": offsets})


async def tell(database: Database) -> None:
    """Say on the log, of each referral concerned, what ended since."""
    async with database.transaction() as session:
        found = await _ready(session, TOLD_AT_ONCE)
    for place in found:
        async with database.transaction() as session:
            end = await session.get(ConsentEnd, place, with_for_update=True, populate_existing=True)
            if end is not None and not end.told:
                await _tell(session, end)


async def tell_the_rest(session: AsyncSession, said: Collection[str]) -> None:
    """Do the same for tables that were behind the log, in the caller's transaction; `said` are ids of events on it."""
    for place in await _ready(session, None):
        await _tell(session, await session.get_one(ConsentEnd, place, populate_existing=True), said)


async def _ready(session: AsyncSession, at_most: int | None) -> Sequence[tuple[int, int]]:
    """The places of what counts and was not told yet."""
    query = (
        select(col(ConsentEnd.partition), col(ConsentEnd.source_offset))
        .where(col(ConsentEnd.applied), ~col(ConsentEnd.told))
        .limit(at_most)
    )
    return [(partition, source_offset) for partition, source_offset in await session.execute(query)]


async def _tell(session: AsyncSession, end: ConsentEnd, said: Collection[str] = ()) -> None:
    if end.reason is None:
        return  # a renewal
    if end.reason == "expired":
        renewed = await session.scalar(_RENEWED, {"consent_id": end.consent_id, "order": end.order})
        if renewed is not None:  # until the boundary has answered it, the end waits
            end.told = renewed
            return
    ended = ConsentEnded(id=end.consent_id, reason=end.reason, version=end.version or None)
    about = {"client_id": end.client_id, "consent_id": end.consent_id}
    concerned = (await session.scalars(_DISCLOSED_UNDER, about)).all()
    await _publish(session, end, ended, [one for one in concerned if publishing.id_of_end(one, ended) not in said])
    end.told = True


async def _publish(session: AsyncSession, end: ConsentEnd, ended: ConsentEnded, referrals: Sequence[str]) -> None:
    for referral_id in referrals:
        referral = await store.locked(session, referral_id)
        member = await store.member(session, referral_id, end.client_id)
        if member is not None and not referral.historical:
            publishing.count(referral, member)
            await publishing.publish_end(session, referral, member, ended)


def _in_force(consent: Consent, record: Record) -> bool:
    """Whether it is so from the moment at which it was recorded."""
    return consent.valid_from <= datetime.fromtimestamp(record.timestamp_ms / 1000, UTC)
