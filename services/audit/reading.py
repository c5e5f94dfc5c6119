"""Applies what the service reads on the log to its tables: referral events, decisions, deliveries."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from policy.parse import Refused, parse, type_of
from schemas import disclosures
from schemas import records as said
from schemas.events import Party
from services.audit import model, store
from services.kit.broker import Record
from services.kit.progress import positions
from services.kit.waiting import until

EVENTS: Final = "client-events"
DISCLOSURES: Final = "disclosures"
DELIVERIES: Final = "deliveries"
APPLIED: Final = "applied"
OTHER_READER_WITHIN: Final = 60.0  # seconds

_DISCLOSURE = msgspec.json.Decoder(disclosures.Disclosure)
_DELIVERY = msgspec.json.Decoder(disclosures.Delivery)


class OtherReaderBehindError(Exception):
    """A record answers another that our own reader has not come to for long: it, or this record, is not right."""


async def apply_events(session: AsyncSession, records: Sequence[Record]) -> None:
    """Keep referral events until they are decided, which consents are in error, and which organizations there are.

    What can't be understood is the boundary's matter: it has no decisions.
    """
    understood = [(record, event) for record in records if (event := _understood(record)) is not None]
    events = [_event_row(record, event) for record, event in understood if isinstance(event, said.ReferralEvents)]
    await store.add_events(session, events)
    errors = [
        _error_row(record, event) for record, event in understood if isinstance(event, said.ConsentEnteredInError)
    ]
    await store.add_errors(session, [row for row in errors if row["consent_id"] is not None])
    changed = [event for _, event in understood if isinstance(event, said.OrganizationChanged)]
    await store.add_organizations(session, [event.data.organization.id for event in changed])


async def apply_disclosures(session: AsyncSession, records: Sequence[Record]) -> None:
    """Write each decision with its event, which a decision alone does not hold where all was denied.

    What a record of another kind says counts once the boundary took it so: its signature fits.
    """
    read = [(record.partition, _DISCLOSURE.decode(record.value or b"")) for record in records]
    read = [(partition, each) for partition, each in read if each.decisions or each.result == APPLIED]
    if not read:
        return
    last = {partition: disclosure.source_offset for partition, disclosure in read}
    await _read_to(session, EVENTS, last)
    events = await store.take_events(session, last)
    decided = [(place, each) for place, each in read if each.decisions]
    rows = [row for place, each in decided for row in _decision_rows(place, each, events[place, each.source_offset])]
    await store.add_decisions(session, rows)
    await store.confirm_errors(session, [_applied_row(place, each) for place, each in read if each.result == APPLIED])


async def apply_deliveries(session: AsyncSession, records: Sequence[Record]) -> None:
    """Write what became of each release, and what of its decision its recipient has been told by now."""
    deliveries = [_DELIVERY.decode(record.value or b"") for record in records]
    await store.add_deliveries(session, [_delivery_row(delivery) for delivery in deliveries])
    delivered = [delivery for delivery in deliveries if delivery.state == model.DELIVERED]
    if not delivered:
        return
    await _decided(session, [delivery.decision_id for delivery in delivered])
    decisions = await store.locked(session, [delivery.decision_id for delivery in delivered])
    for delivery in delivered:
        for decision in decisions.get(delivery.decision_id, ()):
            model.tell(decision, delivery.verdict, delivery.categories)
    await store.tell(session, [decision for same_id in decisions.values() for decision in same_id])


async def _decided(session: AsyncSession, decision_ids: Sequence[str]) -> None:
    """Wait until our reader of `disclosures` has written these decisions: webhooks may be faster than we are."""
    last: dict[int, int] = {}
    for decision_id in decision_ids:
        partition, offset = (int(number) for number in decision_id.split("/", 2)[:2])
        last[partition] = max(last.get(partition, 0), offset)
    await _read_to(session, DISCLOSURES, last)


async def _read_to(session: AsyncSession, topic: str, last: Mapping[int, int]) -> None:
    """Wait until the service has applied `topic` up to and with these offsets of client-events, by partition.

    Each look sees what other transactions have committed by then (READ COMMITTED).
    """

    async def read() -> bool | None:
        stands = await positions(session, topic)
        return all(stands.get(partition, 0) > offset for partition, offset in last.items()) or None

    if not await until(read, OTHER_READER_WITHIN):
        raise OtherReaderBehindError


def _understood(record: Record) -> said.Event | None:
    try:
        return parse(record.value)
    except Refused:
        return None


def _event_row(record: Record, event: said.ReferralEvents) -> store.Row:
    data = event.data
    return {
        "partition": record.partition,
        "source_offset": record.offset,
        "event_id": event.id,
        "type": type_of(event),
        "client_id": data.client_id,
        "referral_id": data.referral.id,
        "originator": data.referral.originator.organization,
        "publisher": data.publisher.organization,
        "publisher_project": data.publisher.project,
        "purpose": data.purpose,
    }


def _error_row(record: Record, event: said.ConsentEnteredInError) -> store.Row:
    place = {"partition": record.partition, "source_offset": record.offset}
    return place | {"consent_id": event.data.revocation.consent_id}


def _applied_row(partition: int, disclosure: disclosures.Disclosure) -> store.Row:
    return {"partition": partition, "source_offset": disclosure.source_offset, "at": _moment(disclosure)}


def _moment(disclosure: disclosures.Disclosure) -> datetime:
    return datetime.fromtimestamp(disclosure.at / 1000, UTC)


def _decision_rows(partition: int, disclosure: disclosures.Disclosure, event: store.Row) -> Iterator[store.Row]:
    for decision in disclosure.decisions:
        yield event | {
            "id": _decision_id(partition, disclosure.source_offset, decision.recipient),
            "at": _moment(disclosure),
            "policy_version": disclosure.policy_version,
            "reference": decision.reference,
            "recipient": decision.recipient.organization,
            "recipient_project": decision.recipient.project,
            "verdict": decision.verdict,
            "categories": list(decision.categories),
            "withheld": decision.withheld,
            "reasons": list(decision.reasons),
            "status": decision.status,
            "agreements": list(decision.agreements),
            "basis": list(msgspec.to_builtins(decision.basis)),
            "obligations": list(decision.obligations),
            "told_categories": [],
        }


def _delivery_row(delivery: disclosures.Delivery) -> store.Row:
    return {
        "decision_id": delivery.decision_id,
        "endpoint": delivery.endpoint_id or "",
        "attempt": delivery.attempt,
        "state": delivery.state,
        "channel": delivery.channel,
        "verdict": delivery.verdict,
        "categories": list(delivery.categories),
        "at": datetime.fromisoformat(delivery.time),
        "reason": delivery.reason,
        "consents": list(delivery.consents),
        "obligations": list(delivery.obligations),
    }


def _decision_id(partition: int, offset: int, party: Party) -> str:
    name = party.organization if party.project is None else f"{party.organization}:{party.project}"
    return f"{partition}/{offset}/{name}"
