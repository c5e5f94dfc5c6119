"""A restored database of referrals: notices at start that it is older than the log, and takes back what the log has."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Final

from pydantic import SecretStr
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from policy import canonical
from policy.parse import Refused, check_key, parse
from schemas.events import ReferralData
from schemas.records import (
    ReferralConsentEnded,
    ReferralEvents,
    ReferralRequested,
    ReferralRespondSoon,
    ReferralUpdated,
)
from services.kit.broker import Record, read_all
from services.kit.connecting import Kafka
from services.kit.database import Database, driver
from services.kit.outbox import Outbox
from services.kit.progress import positions
from services.kit.reader import answered_offset
from services.kit.restored import RestoredError, alone, catch_up
from services.kit.topics import load
from services.referrals import ended, reading, store
from services.referrals.intake import FIRST_SEQ
from services.referrals.publishing import TOPIC
from services.referrals.tables import Member, Referral, UsedClient, View

SERVICE: Final = "referrals"


async def check(kafka: Kafka, database: Database) -> None:
    """Raise RestoredError if an event of ours stands on the log of which our tables know nothing.

    They are written before the log is. What our reader of the log had passed by the backup's time is older than that.
    """
    async with aclosing(_own_since(kafka, database)) as runs:
        async for events in runs:
            async with database.transaction() as session:
                known = await _versions(session, events)
            if any(known.get(_place(event), 0) < event.data.referral.version for event in events):
                raise RestoredError(SERVICE)


async def declared(kafka: Kafka, url: SecretStr) -> str:
    """Bring the tables up to our own events on the log; return a sentence that counts them.

    `external_id` and `respond_by` of a referral made since the backup stand nowhere else, and are lost.
    """
    database = Database(url)
    try:
        await database.migrate(SERVICE)
        events = [event async for run in _own_since(kafka, database) for event in run]
        async with database.transaction() as session:
            await alone(session, SERVICE)
            new = await _add_unknown(session, events)
            newer = [await _bring_up(session, event) for event in events]
            await _forget_sent(session, events)
            # Before anybody may ask again: what was closed to a recipient meanwhile must not be shown once more.
            await catch_up(session, kafka, TOPIC, reading.apply_events)
            await catch_up(session, kafka, "disclosures", reading.apply_disclosures, answered_offset)
            await catch_up(session, kafka, "deliveries", reading.apply_deliveries)
            await ended.tell_the_rest(session, {each.id for each in events if isinstance(each, ReferralConsentEnded)})
    finally:
        await database.close()
    return f"{new} referrals and {sum(newer)} later events were taken back from the log."


async def _own_since(kafka: Kafka, database: Database) -> AsyncGenerator[list[ReferralEvents], None]:
    """Give the referrals' events from where our reader stands to the log's end, in runs of one partition."""
    async with database.transaction() as session:
        stands = await positions(session, TOPIC)
    starts = {partition: stands.get(partition, 0) for partition in range(load()[TOPIC].partitions)}
    async for run in read_all(kafka, TOPIC, starts):
        if events := [event for record in run if (event := _referrals(record)) is not None]:
            yield events


def _referrals(record: Record) -> ReferralEvents | None:
    try:
        event = parse(record.value)
        check_key(event, (record.key or b"").decode(errors="replace"))
    except Refused:
        return None
    return event if isinstance(event, ReferralEvents) else None


def _place(event: ReferralEvents) -> tuple[str, str]:
    return event.data.referral.id, event.data.client_id


async def _versions(session: AsyncSession, events: Sequence[ReferralEvents]) -> dict[tuple[str, str], int]:
    """Return the version of each member of these events' referrals."""
    found = await store.members(session, {event.data.referral.id for event in events})
    return {(member.referral_id, member.client_id): member.version for member in found}


async def _add_unknown(session: AsyncSession, events: Sequence[ReferralEvents]) -> int:
    """Add the referrals that the tables do not know, as they were when they were made; return how many."""
    households: dict[str, list[ReferralEvents]] = {}
    for event in events:
        if isinstance(event, ReferralRequested):
            households.setdefault(event.data.referral.id, []).append(event)
    known = await store.referrals(session, households)
    added = 0
    for referral_id, requests in households.items():
        head = next((event for event in requests if event.data.recipients[0].reference is not None), None)
        if referral_id not in known and head is not None:  # without its head nobody can be asked about it
            await store.add(await driver(session), _referral(head), [_member(event) for event in requests])
            used = [{"organization": _originator(head), "client_id": each.data.client_id} for each in requests]
            await session.execute(insert(UsedClient).on_conflict_do_nothing(), used)
            added += 1
    return added


def _referral(head: ReferralEvents) -> Referral:
    data, to = head.data, head.data.recipients[0]
    return Referral(
        id=data.referral.id,
        originator=_originator(head),
        originator_project=data.referral.originator.project,
        recipient=to.organization,
        recipient_project=to.project,
        reference=to.reference or "",
        purpose=data.purpose,
        call_back=data.call_back or "",
        external_id=None,
        respond_by=None,
        occurred_at=datetime.fromisoformat(data.occurred_at) if data.occurred_at else None,
        historical=data.historical,
        status="requested",
        version=1,
        status_version=1,
        created_at=datetime.fromisoformat(head.time),
    )


def _originator(event: ReferralEvents) -> str:
    return event.data.referral.originator.organization


def _member(event: ReferralEvents) -> Member:
    data = event.data
    is_head = data.recipients[0].reference is not None
    return Member(
        referral_id=data.referral.id,
        client_id=data.client_id,
        head=is_head,
        sealed=canonical.encode(data.sealed),
        next_seq=_next_seq(data),
    )


def _next_seq(data: ReferralData) -> int:
    """Return the number of a member's next envelope: every event with boxes has all that are in force."""
    return max((envelope.seq for envelope in data.sealed), default=FIRST_SEQ - 1) + 1


async def _bring_up(session: AsyncSession, event: ReferralEvents) -> bool:
    """Let the tables say what an event says, if it is newer; return whether it was."""
    data = event.data
    member = await store.member(session, data.referral.id, data.client_id)
    if member is None or data.referral.version <= member.version:
        return False
    referral = await store.locked(session, data.referral.id)
    member.version, referral.version = data.referral.version, referral.version + 1
    if isinstance(event, ReferralUpdated):
        member.sealed, member.next_seq = canonical.encode(data.sealed), _next_seq(data)
    elif isinstance(event, ReferralRespondSoon):
        referral.nudged_at = datetime.fromisoformat(event.time)
    elif member.head and not isinstance(event, ReferralConsentEnded):  # of others than the head it says less than is so
        referral.status, referral.status_version = data.referral.status, member.version
        await _show_own_word(session, referral, event)
    return True


async def _show_own_word(session: AsyncSession, referral: Referral, event: ReferralEvents) -> None:
    """Let who moved the referral see it; all others hear of it from the boundary, which is read again."""
    status, version = event.data.referral.status, event.data.referral.version
    if event.data.publisher.organization == referral.originator or referral.historical:
        own = await store.own_view(session, referral)
        own.see(own.sight.said_by_originator(status, version, datetime.fromisoformat(event.time)))
    elif (view := await session.get(View, (referral.recipient, referral.reference))) is not None:
        view.see(view.sight.said(status, version))


async def _forget_sent(session: AsyncSession, events: Sequence[ReferralEvents]) -> None:
    """Delete from the outbox what was sent before the newest on the log: sent again, it would come after that."""
    newest: dict[tuple[str, str], int] = {}
    for event in events:
        newest[_place(event)] = max(event.data.referral.version, newest.get(_place(event), 0))
    for row in (await session.scalars(select(Outbox).where(col(Outbox.topic) == TOPIC))).all():
        waiting = parse(row.body)
        if isinstance(waiting, ReferralEvents) and waiting.data.referral.version <= newest.get(_place(waiting), 0):
            await session.delete(row)
