"""Tells the recipients of referrals that a consent ended under which something was disclosed to them.

An end is noted where it is read on the log, and said once our other reader has come to the boundary's answer to that
very record, and has applied all decisions from before it: until then nobody knows what was disclosed under the consent,
nor whether the record is signed. Each end is said once, however often its records are read; whether a recipient hears
of it is for the boundary to decide.
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from schemas.events import ConsentEnded
from schemas.records import ConsentEnteredInError, ConsentExpired
from services.kit.broker import Record
from services.kit.database import Database, driver
from services.referrals import publishing, store
from services.referrals.tables import ConsentEnd

TOLD_AT_ONCE: Final = 100
IN_ERROR_ONCE: Final = 0
"""The order of every entry in error: a consent expires once for each version, and is in error once."""

Ending = ConsentEnteredInError | ConsentExpired

_CONFIRM: Final = (
    "UPDATE consents_ended SET applied = true WHERE (partition, source_offset) IN ("
    ' SELECT DISTINCT ON (consent_id, "order") partition, source_offset FROM consents_ended AS one'
    " JOIN unnest(CAST(%(partitions)s AS integer[]), CAST(%(offsets)s AS bigint[])) AS said(partition, source_offset)"
    "  USING (partition, source_offset)"
    " WHERE NOT EXISTS (SELECT FROM consents_ended AS other WHERE other.consent_id = one.consent_id"
    '  AND other."order" = one."order" AND other.applied)'
    ' ORDER BY consent_id, "order", source_offset)'
)
_DISCLOSED_UNDER: Final = text(
    "SELECT DISTINCT referral_id FROM decisions JOIN members USING (referral_id, client_id)"
    " WHERE client_id = :client_id AND verdict = 'permit' AND consents @> to_jsonb(CAST(:consent_id AS text))"
    " ORDER BY referral_id"
)


async def note(session: AsyncSession, event: Ending, record: Record) -> None:
    """Note what a record says of a consent's end, until the boundary has said whether it counts."""
    if isinstance(event, ConsentEnteredInError):
        consent_id, order, reason = event.data.revocation.consent_id, IN_ERROR_ONCE, "entered-in-error"
    else:
        consent_id, order, reason = event.data.consent.id, event.data.order, "expired"
    if consent_id is not None:
        row = {
            "consent_id": consent_id,
            "order": order,
            "client_id": event.data.client_id,
            "reason": reason,
            "partition": record.partition,
            "source_offset": record.offset,
            "applied": False,
            "told": False,
        }
        await session.execute(insert(ConsentEnd).values(row).on_conflict_do_nothing())


async def confirm(session: AsyncSession, places: Sequence[tuple[int, int]]) -> None:
    """Note which records, by partition and offset, the boundary took as what they say; others change nothing."""
    if places:
        partitions, offsets = ([*column] for column in zip(*places, strict=True))
        await (await driver(session)).execute(_CONFIRM, {"partitions": partitions, "offsets": offsets})


async def tell(database: Database) -> None:
    """Say on the log, of each referral concerned, what ended since."""
    async with database.transaction() as session:
        found = await _ready(session)
    for place in found:
        async with database.transaction() as session:
            end = await session.get(ConsentEnd, place, with_for_update=True, populate_existing=True)
            if end is not None and not end.told:
                await _tell(session, end)


async def _ready(session: AsyncSession) -> Sequence[tuple[int, int]]:
    """The places of what counts and was not told yet."""
    query = (
        select(col(ConsentEnd.partition), col(ConsentEnd.source_offset))
        .where(col(ConsentEnd.applied), ~col(ConsentEnd.told))
        .limit(TOLD_AT_ONCE)
    )
    return [(partition, source_offset) for partition, source_offset in await session.execute(query)]


async def _tell(session: AsyncSession, end: ConsentEnd) -> None:
    ended = ConsentEnded(id=end.consent_id, reason=end.reason)
    about = {"client_id": end.client_id, "consent_id": end.consent_id}
    for referral_id in (await session.scalars(_DISCLOSED_UNDER, about)).all():
        referral = await store.locked(session, referral_id)
        member = await store.member(session, referral_id, end.client_id)
        if member is not None and not referral.historical:
            publishing.count(referral, member)
            await publishing.publish_end(session, referral, member, ended)
    end.told = True
