"""Says again, once the doubt is over, what recipients must hear and did not, since in doubt nobody hears anything.

That is the word that a referral was entered in error, and the end of a consent. Each is noted where it is read on the
log; our other reader finds whether the boundary denied it in doubt. The next restatement after it ends that doubt, or
was forged: then what is said again is denied again, and waits for another.
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from schemas.events import ConsentEnded
from schemas.records import ConsentRestated, ControlRestated, ReferralConsentEnded, ReferralEnteredInError
from services.kit.broker import Record
from services.kit.database import Database, driver
from services.referrals import ended, model, publishing, store
from services.referrals.tables import Referral, Unheard

SAID_AT_ONCE: Final = 100
EVERYBODY: Final = ""
"""Of whom a restatement of control ends the doubt: no client's id."""

Word = ReferralEnteredInError | ReferralConsentEnded
Restatement = ConsentRestated | ControlRestated

# Whoever changes several rows takes them in one order, so that no two wait for each other.
_DENIED: Final = (
    "WITH locked AS MATERIALIZED (SELECT partition, source_offset FROM unheard"
    "  JOIN unnest(CAST(%(partitions)s AS integer[]), CAST(%(offsets)s AS bigint[])) AS said(partition, source_offset)"
    "   USING (partition, source_offset)"
    "  ORDER BY partition, source_offset FOR UPDATE OF unheard)"
    " UPDATE unheard AS u SET denied = true FROM locked"
    " WHERE (u.partition, u.source_offset) = (locked.partition, locked.source_offset)"
)
_RESTATED: Final = (
    "WITH locked AS MATERIALIZED (SELECT partition, source_offset FROM unheard AS u"
    "  WHERE EXISTS (SELECT FROM unnest(CAST(%(partitions)s AS integer[]), CAST(%(offsets)s AS bigint[]),"
    "    CAST(%(client_ids)s AS text[])) AS said(partition, source_offset, client_id)"
    "   WHERE said.partition = u.partition AND said.source_offset > u.source_offset"
    "    AND said.client_id IN (u.client_id, %(everybody)s))"
    "  ORDER BY partition, source_offset FOR UPDATE)"
    " UPDATE unheard AS u SET restated = true FROM locked"
    " WHERE (u.partition, u.source_offset) = (locked.partition, locked.source_offset)"
)
_FORGET_DECIDED: Final = text(
    "DELETE FROM unheard WHERE (partition, source_offset) IN (SELECT u.partition, source_offset FROM unheard AS u"
    " JOIN positions ON topic = 'disclosures' AND positions.partition = u.partition AND next > source_offset"
    " WHERE NOT denied FOR UPDATE OF u SKIP LOCKED)"
)
_READY: Final = text(
    "SELECT partition, source_offset, referral_id FROM unheard WHERE denied AND restated"
    " ORDER BY partition, source_offset LIMIT :most"
)


async def note(session: AsyncSession, event: Word, record: Record) -> None:
    """Note what a record says, until the boundary has answered it."""
    end = event.data.consent_ended
    row = {
        "partition": record.partition,
        "source_offset": record.offset,
        "referral_id": event.data.referral.id,
        "client_id": event.data.client_id,
        "consent_id": end.id if end else None,
        "reason": end.reason if end else None,
        "version": end.version if end else None,
        "denied": False,
        "restated": False,
    }
    await session.execute(insert(Unheard).values(row).on_conflict_do_nothing())


async def denied(session: AsyncSession, places: Sequence[tuple[int, int]]) -> None:
    """Note which records, by partition and offset, the boundary denied in doubt."""
    if places:
        partitions, offsets = ([*column] for column in zip(*places, strict=True))
        await (await driver(session)).execute(_DENIED, {"partitions": partitions, "offsets": offsets})


async def restated(session: AsyncSession, said: Sequence[tuple[Restatement, Record]]) -> None:
    """Note whose doubts are over of what was said before; forged or not is for the boundary to find.

    After all else of a run: whoever locks referrals, and rows of these, takes the referrals first.
    """
    if said:
        about = {
            "partitions": [record.partition for _, record in said],
            "offsets": [record.offset for _, record in said],
            "client_ids": [e.data.client_id if isinstance(e, ConsentRestated) else EVERYBODY for e, _ in said],
            "everybody": EVERYBODY,
        }
        await (await driver(session)).execute(_RESTATED, about)


async def say_again(database: Database) -> None:
    """Say what was denied in a doubt that is over; forget what was decided."""
    async with database.transaction() as session:
        await session.execute(_FORGET_DECIDED)
        found = (await session.execute(_READY, {"most": SAID_AT_ONCE})).all()
    for partition, source_offset, referral_id in found:
        async with database.transaction() as session:
            referral = await session.get(Referral, referral_id, with_for_update=True)
            word = await session.get(Unheard, (partition, source_offset), with_for_update=True)
            if word is not None:
                if referral is not None:  # of a forged one there may be none
                    await _say(session, referral, word)
                await session.delete(word)


async def _say(session: AsyncSession, referral: Referral, word: Unheard) -> None:
    member = await store.member(session, referral.id, word.client_id)
    if member is None:
        return
    if word.consent_id is not None and word.reason is not None:
        end = ConsentEnded(id=word.consent_id, reason=word.reason, version=word.version)
        if not await ended.is_renewed(session, end):
            publishing.count(referral, member)
            await publishing.publish_end(session, referral, member, end, again=True)
    elif referral.status == model.IN_ERROR:
        publishing.count(referral, member)
        await publishing.publish_status(session, referral, member, referral.originating_party)
