"""Applies what the service reads on the log to its tables: events, decisions, deliveries."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from policy.parse import Refused, check_key, parse
from schemas.disclosures import Decision as Decided
from schemas.disclosures import Delivery, Disclosure
from schemas.records import ConsentGranted, Event, ReferralRequested, ReferralUpdated
from services.kit.broker import Record
from services.kit.positions import positions
from services.kit.sayable import UNSAID
from services.kit.waiting import until
from services.referrals import lifecycle, store
from services.referrals.publishing import TOPIC
from services.referrals.seeing import Views
from services.referrals.store import DecisionId
from services.referrals.tables import Decision

STANDS_STILL_FOR: Final = 30.0  # seconds
_CROSSING: Final = frozenset({"permit", "deidentified"})

_DISCLOSURE = msgspec.json.Decoder(Disclosure)
_DELIVERY = msgspec.json.Decoder(Delivery)


class OtherReaderStandsStillError(Exception):
    """A decision or delivery is here, and our reader of client-events does not come to its event."""


async def apply_events(session: AsyncSession, records: Sequence[Record]) -> None:
    """Note where the events with boxes stand, and follow grants. What can't be understood is the boundary's matter."""
    noted: list[dict[str, object]] = []
    for record in records:
        event = _understood(record)
        if isinstance(event, ReferralRequested | ReferralUpdated):
            noted += _places(event, record)
        elif isinstance(event, ConsentGranted):
            await store.note_events(session, noted)
            noted = []
            await lifecycle.follow(session, event, record.partition)
    await store.note_events(session, noted)


async def apply_disclosures(session: AsyncSession, records: Sequence[Record]) -> None:
    """Note what crossed, and what each party told may see from now on."""
    partition = records[0].partition
    disclosures = [found for record in records if (found := _DISCLOSURE.decode(record.value or b"")).decisions]
    if not disclosures:
        return
    await _events_noted(session, partition, disclosures[-1].source_offset)
    ids = [
        (partition, disclosure.source_offset, decision.recipient.organization)
        for disclosure in disclosures
        for decision in disclosure.decisions
    ]
    decisions = await store.locked_decisions(session, ids)
    views = await _views(session, disclosures, decisions.values())
    for disclosure in disclosures:
        for decision in disclosure.decisions:
            row = decisions.get((partition, disclosure.source_offset, decision.recipient.organization))
            if row is not None:
                _note(row, decision)
            if disclosure.event is not None and decision.verdict != "deny":
                await views.told(disclosure.event.data, decision)
            else:
                views.denied(decision, about=(row.referral_id, row.client_id) if row else None)


async def apply_deliveries(session: AsyncSession, records: Sequence[Record]) -> None:
    """Note what was delivered, and what the custodian held back at the last moment."""
    deliveries = [_DELIVERY.decode(record.value or b"") for record in records]
    telling = {_decision_id(each): each for each in deliveries if each.state in {"delivered", "withheld"}}
    for partition in {partition for partition, _, _ in telling}:
        await _events_noted(session, partition, max(offset for each, offset, _ in telling if each == partition))
    rows = await store.locked_decisions(session, telling)
    for delivery in deliveries:
        row = rows.get(_decision_id(delivery))
        if row is not None:
            _note_delivery(row, delivery)


def _understood(record: Record) -> Event | None:
    try:
        event = parse(record.value)
        check_key(event, (record.key or b"").decode(errors="replace"))
    except Refused:
        return None
    return event


def _places(event: ReferralRequested | ReferralUpdated, record: Record) -> list[dict[str, object]]:
    return [
        {
            "partition": record.partition,
            "source_offset": record.offset,
            "organization": recipient.organization,
            "referral_id": event.data.referral.id,
            "client_id": event.data.client_id,
            "categories": [],
            "withheld": {},
        }
        for recipient in event.data.recipients
    ]


async def _events_noted(session: AsyncSession, partition: int, offset: int) -> None:
    """Wait until our reader of client-events has passed this offset: a moment, since the event was there first."""

    async def stands() -> int:
        return (await positions(session, TOPIC)).get(partition, 0)

    async def moved() -> bool | None:
        return await stands() > seen or None

    while (seen := await stands()) <= offset:
        if await until(moved, STANDS_STILL_FOR) is None:
            raise OtherReaderStandsStillError


async def _views(session: AsyncSession, disclosures: Sequence[Disclosure], noted: Iterable[Decision]) -> Views:
    told = {disclosure.event.data.referral.id for disclosure in disclosures if disclosure.event is not None}
    references = {one.reference for disclosure in disclosures for one in disclosure.decisions if one.reference}
    rows = await store.locked_views(session, told | {row.referral_id for row in noted}, references)
    return Views(session, rows)


def _note(row: Decision, decision: Decided) -> None:
    row.verdict = decision.verdict
    row.categories = list(decision.categories)
    row.withheld = decision.withheld


def _decision_id(delivery: Delivery) -> DecisionId:
    partition, offset, party = delivery.decision_id.split("/", 2)
    return int(partition), int(offset), party.split(":", 1)[0]


def _note_delivery(row: Decision, delivery: Delivery) -> None:
    """Several endpoints may get one decision, each as it was permitted at its moment: the first delivery counts."""
    if delivery.state == "withheld":
        row.stopped = delivery.reason or UNSAID
    elif delivery.state == "delivered" and delivery.verdict in _CROSSING and row.delivered_at is None:
        row.released_verdict = delivery.verdict
        row.released_categories = list(delivery.categories)
        row.delivered_at = datetime.fromisoformat(delivery.time)
