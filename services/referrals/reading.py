"""Applies what the service reads on the log to its tables: events, decisions, deliveries."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from policy.parse import Refused, check_key, parse
from schemas.disclosures import Decision, Delivery, DisclosedEvent, Disclosure
from schemas.records import (
    ConsentGranted,
    Event,
    ReferralRequested,
    ReferralUpdated,
)
from services.kit.broker import Record
from services.kit.progress import positions
from services.kit.sayable import UNSAID
from services.kit.waiting import until
from services.referrals import ended, lifecycle, noted, store
from services.referrals.crossing import Trouble
from services.referrals.noted import Arrival, DecisionId, Noted, Outcome, Place
from services.referrals.publishing import TOPIC
from services.referrals.seeing import Views

STANDS_STILL_FOR: Final = 30.0  # seconds
WITH_BOXES: Final = (ReferralRequested, ReferralUpdated)
_TYPES_WITH_BOXES: Final = frozenset(str(kind.__struct_config__.tag) for kind in WITH_BOXES)
_APPLIED: Final = "applied"
_CROSSING: Final = frozenset({"permit", "deidentified"})
_TROUBLE: Final[dict[str, Trouble]] = {"failed": "failed", "given_up": "given_up"}
_TELLING: Final = frozenset({"released", "delivered", "withheld", *_TROUBLE})


class Told(NamedTuple):
    """A decision and when it was made, with its event if anything of it crosses to anybody."""

    event: DisclosedEvent | None
    decision: Decision
    at: datetime


_DISCLOSURE = msgspec.json.Decoder(Disclosure)
_DELIVERY = msgspec.json.Decoder(Delivery)


class OtherReaderStandsStillError(Exception):
    """A decision or delivery is here, and our reader of client-events does not come to its event."""


async def apply_events(session: AsyncSession, records: Sequence[Record]) -> None:
    """Note where the events with boxes stand and which consents ended or were renewed, and follow grants.

    What can't be understood is the boundary's matter.
    """
    places: list[Place] = []
    for record in records:
        event = _understood(record)
        if isinstance(event, WITH_BOXES):
            places += _places(event, record)
        elif isinstance(event, ConsentGranted):
            await noted.place(session, places)
            places = []
            await lifecycle.follow(session, event, record.partition)
        if isinstance(event, ended.Noted):
            await ended.note(session, event, record)
    await noted.place(session, places)


async def apply_disclosures(session: AsyncSession, records: Sequence[Record]) -> None:
    """Note what crossed, what each party told may see from now on, and which ends of consents count."""
    read = [(record.partition, _DISCLOSURE.decode(record.value or b"")) for record in records]
    applied = [(partition, each.source_offset) for partition, each in read if each.result == _APPLIED]
    await _events_noted(session, applied)
    said = [one for partition, each in read for one in _said(partition, each)]
    if said:
        await _apply_decisions(session, said)
    await ended.confirm(session, applied)


async def _apply_decisions(session: AsyncSession, said: Sequence[tuple[DecisionId, Told]]) -> None:
    rows = await _decided(session, said)
    views = await _views(session, said, rows.values())
    for decision_id, (event, decision, _) in said:
        row = rows.get(decision_id)
        if event is not None and decision.verdict != "deny":
            views.told(event, decision)
        else:
            views.denied(decision, about=(row.referral_id, row.client_id) if row else None)
        if row is not None and row.reached:  # our reader of deliveries was here first
            await views.reached(row)
    await store.add_steps(session, views.steps)


async def apply_deliveries(session: AsyncSession, records: Sequence[Record]) -> None:
    """Note what was delivered, by what name a recipient knows a referral now, and what the custodian held back."""
    said: dict[DecisionId, Arrival] = {}
    for record in records:
        delivery = _DELIVERY.decode(record.value or b"")
        if delivery.state in _TELLING:
            _add(said.setdefault(_decision_id(delivery), Arrival()), delivery)
    await _events_noted(session, said)
    rows = await noted.deliver(session, said)
    reached = [row for row in rows.values() if row.reached]
    if reached:
        views = Views(session, await store.locked_views(session, {row.referral_id for row in reached}))
        for row in reached:
            await views.reached(row)


def _understood(record: Record) -> Event | None:
    try:
        event = parse(record.value)
        check_key(event, (record.key or b"").decode(errors="replace"))
    except Refused:
        return None
    return event


def _places(event: ReferralRequested | ReferralUpdated, record: Record) -> list[Place]:
    data = event.data
    return [
        Place(
            partition=record.partition,
            source_offset=record.offset,
            organization=recipient.organization,
            referral_id=data.referral.id,
            client_id=data.client_id,
            head=recipient.reference is not None,
        )
        for recipient in data.recipients
    ]


def _said(partition: int, disclosure: Disclosure) -> list[tuple[DecisionId, Told]]:
    place, at = (partition, disclosure.source_offset), datetime.fromtimestamp(disclosure.at / 1000, UTC)
    return [
        (DecisionId(*place, one.recipient.organization), Told(disclosure.event, one, at))
        for one in disclosure.decisions
    ]


async def _decided(session: AsyncSession, said: Sequence[tuple[DecisionId, Told]]) -> dict[DecisionId, Noted]:
    """Note the decisions on events with boxes; a denial may be on one, and does not say."""
    outcomes = {
        decision_id: Outcome(decision.verdict, decision.categories, decision.withheld, _consents(decision), at)
        for decision_id, (event, decision, at) in said
        if event is None or event.type in _TYPES_WITH_BOXES
    }
    await _events_noted(session, outcomes)
    return await noted.decide(session, outcomes)


def _consents(decision: Decision) -> list[str]:
    return [each.id for each in decision.basis]


async def _events_noted(session: AsyncSession, places: Iterable[DecisionId | tuple[int, int]]) -> None:
    """Wait until our reader of client-events has passed their events: a moment, since those were there first.

    Before anything is locked: what another reader of ours waits for while this one waits must not be ours.
    """
    ends: dict[int, int] = {}
    for each in places:
        ends[each[0]] = max(ends.get(each[0], 0), each[1] + 1)

    async def behind() -> dict[int, int]:
        stands = await positions(session, TOPIC)
        return {
            partition: stands.get(partition, 0) for partition, end in ends.items() if stands.get(partition, 0) < end
        }

    async def moved() -> bool | None:
        return await behind() != seen or None

    while seen := await behind():
        if await until(moved, STANDS_STILL_FOR) is None:
            raise OtherReaderStandsStillError


async def _views(session: AsyncSession, said: Sequence[tuple[DecisionId, Told]], rows: Iterable[Noted]) -> Views:
    """Lock what anybody may see of what was decided; a denial of a lifecycle event names but the reference."""
    referral_ids = {row.referral_id for row in rows}
    names: set[tuple[str, str]] = set()
    for _, (event, decision, _) in said:
        if event is not None:
            referral_ids.add(event.data.referral.id)
        elif decision.reference is not None:
            names.add((decision.recipient.organization, decision.reference))
    return Views(session, await store.locked_views(session, referral_ids, names))


def _decision_id(delivery: Delivery) -> DecisionId:
    partition, offset, party = delivery.decision_id.split("/", 2)
    return DecisionId(int(partition), int(offset), party.split(":", 1)[0])


def _add(arrival: Arrival, delivery: Delivery) -> None:
    if delivery.state == "withheld":
        arrival.stopped = delivery.reason or UNSAID
        return
    arrival.consents = sorted({*arrival.consents, *delivery.consents})
    arrival.trouble = _TROUBLE.get(delivery.state, arrival.trouble)
    if delivery.state != "delivered":
        return
    arrival.reached = arrival.reached or delivery.verdict == "permit"
    if delivery.verdict in _CROSSING and arrival.delivered_at is None:
        arrival.verdict, arrival.categories = delivery.verdict, delivery.categories
        arrival.delivered_at = delivery.time
