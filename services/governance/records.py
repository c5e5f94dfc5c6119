"""Control records: what governance says on the log, to every partition, in the transaction that makes it true."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, Literal, TypedDict

import msgspec
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncSession

from policy import canonical
from policy.control import KEY_PREFIX, control_key
from schemas.control import (
    Agreement,
    AgreementData,
    AgreementLeftData,
    AgreementSuspendedData,
    ControlRestatedData,
    Organization,
    OrganizationData,
)
from schemas.records import (
    AgreementActivated,
    AgreementLeft,
    AgreementSuspended,
    ControlEvent,
    ControlRestated,
    OrganizationChanged,
)
from services.governance import store, tables
from services.kit import outbox, topics
from services.kit.database import now
from services.kit.keys import random_id
from services.kit.outbox import OutboxRow
from services.kit.problems import Problem
from services.kit.relay import Acknowledged
from services.kit.signing import ROOM_FOR_SIGNING, Signer

TOPIC: Final = "client-events"
RESTATED_KEY: Final = KEY_PREFIX + "restated"
AGGREGATE: Final = "control"
"""Of all control records in the outbox: what is said after a restatement never stands before it on the log."""

SOURCE: Final = "/governance"
UNSIGNED: Final = "-"
"""Stands for key id and signature until the relay signs."""

_DECODER: Final = msgspec.json.Decoder(ControlEvent)


async def organization_changed(session: AsyncSession, row: tables.Organization, content: Organization) -> None:
    """Announce an organization's complete attributes; its row is locked."""
    moment, row.last_order = await _next_order(session, row.last_order)
    data = OrganizationData(order=row.last_order, key_id=UNSIGNED, signature=UNSIGNED, organization=content)
    await _announce(session, OrganizationChanged(**attributes(moment), data=data))


async def agreement_activated(session: AsyncSession, row: tables.Agreement, content: Agreement) -> None:
    """Announce that an agreement is in force, in place of the one that it supersedes; its row is locked."""
    moment, row.last_order = await _next_order(session, row.last_order)
    data = AgreementData(
        order=row.last_order, key_id=UNSIGNED, signature=UNSIGNED, agreement=content, supersedes=row.supersedes
    )
    await _announce(session, AgreementActivated(**attributes(moment), data=data))


async def agreement_left(session: AsyncSession, row: tables.Agreement, organization: str) -> None:
    """Announce that an agreement is in force no more for one party; its row is locked."""
    moment, row.last_order = await _next_order(session, row.last_order)
    data = AgreementLeftData(
        order=row.last_order,
        key_id=UNSIGNED,
        signature=UNSIGNED,
        agreement_id=row.id,
        organization=organization,
    )
    await _announce(session, AgreementLeft(**attributes(moment), data=data))


async def agreement_suspended(session: AsyncSession, row: tables.Agreement) -> None:
    """Announce that an agreement is in force no more; its row is locked."""
    row.last_order = await unknown_suspended(session, row.id, row.last_order)


async def unknown_suspended(session: AsyncSession, agreement_id: str, last: int) -> int:
    """Announce that an agreement, of which there need be no row, is in force no more; return the record's order."""
    moment, order = await _next_order(session, last)
    data = AgreementSuspendedData(order=order, key_id=UNSIGNED, signature=UNSIGNED, agreement_id=agreement_id)
    await _announce(session, AgreementSuspended(**attributes(moment), data=data))
    return order


async def control_restated(
    session: AsyncSession, log: tables.LogIdentity, above: int, data: ControlRestatedData
) -> None:
    """Announce the complete control state, with an order above all others; the log's row is locked."""
    moment = await now(session)
    log.floor, log.restated_at = next_order(max(log.floor, above), moment), moment
    await _announce(session, ControlRestated(**attributes(moment), data=replace(data, order=log.floor)))


def agreement_key(agreement_id: str) -> str:
    """Return the record key under which everything about an agreement is said."""
    return KEY_PREFIX + agreement_id


class Attributes(TypedDict):
    """The CloudEvents context of an event, but its type."""

    id: str
    source: str
    time: str
    specversion: Literal["1.0"]


def attributes(moment: datetime) -> Attributes:
    """Return the CloudEvents context of a new event."""
    time = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {"id": random_id(), "source": SOURCE, "time": time, "specversion": "1.0"}


def next_order(last: int, moment: datetime) -> int:
    """Return the order of the next record about one thing: above its last, microseconds since 1970 where they are."""
    return max(last + 1, int(moment.timestamp() * 1_000_000))


def signing(signer: Signer, log_id: str) -> Callable[[OutboxRow], bytes]:
    """Make the relay's `prepare`: signs a control record at the moment it is sent."""
    return lambda row: signer.sign(_DECODER.decode(row.body), log_id=log_id, key=row.key.decode())


async def acknowledged(session: AsyncSession, taken: Sequence[Acknowledged]) -> None:
    """Note where records stand, in the transaction that deletes them from the outbox."""
    for each in taken:
        await store.note_position(session, each.row.key.decode(), each.placed.partition, each.placed.offset + 1)


async def _next_order(session: AsyncSession, last: int) -> tuple[datetime, int]:
    """Return the time, and an order that no restatement overtakes until the caller's commit."""
    floor = await store.floor(session)
    moment = await now(session)
    return moment, next_order(max(last, floor), moment)


async def _announce(session: AsyncSession, event: ControlEvent) -> None:
    """Put a record into the outbox for every partition; Problem 422 if it is larger than the log takes."""
    body, key = canonical.encode(event), control_key(event)
    topic = topics.load()[TOPIC]
    if len(body) + ROOM_FOR_SIGNING > topic.max_message_bytes:
        raise Problem("record-too-large")
    for partition in range(topic.partitions):
        await outbox.put(session, topic=TOPIC, key=key.encode(), aggregate=AGGREGATE, body=body, partition=partition)
