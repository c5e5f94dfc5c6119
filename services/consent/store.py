"""Consents and revocations: written with their records in one transaction, under the client's row lock."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Select, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY, BIGINT, INTEGER, TEXT
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from policy import canonical
from policy.parse import parse
from schemas.events import Consent as ConsentRecord
from schemas.events import HeldConsent
from schemas.notices import ConsentExpiring
from schemas.records import ConsentExcluded, ConsentGranted, ConsentRefused, ConsentRevoked, Event
from services.consent import bodies, clients, ending, model
from services.consent.model import Change, Locked
from services.consent.tables import Client, Consent
from services.kit import outbox
from services.kit.pages import Page, Paging
from services.kit.problems import Problem
from services.kit.relay import Acknowledged

TOPIC: Final = "client-events"
NOTICES: Final = "consent-notices"
_RECORD: Final = msgspec.json.Decoder(ConsentRecord)

# One round trip for the client and for what changes it.
_ADD_CONSENT: Final = text(
    "WITH changed AS (UPDATE clients SET last_order = :order, consents = :consents WHERE id = :client_id)"
    ' INSERT INTO consents (id, client_id, recorder, decision, attested, "order", record, recorded_at, due_at)'
    " VALUES (:id, :client_id, :organization, :decision, :attested, :order, :record, :recorded_at, :due_at)"
)
_RENEW_CONSENT: Final = text(
    "WITH changed AS (UPDATE clients SET last_order = :order, consents = :consents WHERE id = :client_id),"
    ' kept AS (INSERT INTO earlier_versions (consent_id, "order", record, recorded_at, replaced_at)'
    '  SELECT id, "order", record, recorded_at, :recorded_at FROM consents WHERE id = :id)'
    ' UPDATE consents SET "order" = :order, record = :record, recorded_at = :recorded_at, due_at = :due_at,'
    " accepted_at = NULL, log_partition = NULL, log_offset = NULL WHERE id = :id"
)
_ADD_REVOCATION: Final = text(
    "WITH changed AS (UPDATE clients SET last_order = :order, consents = :consents WHERE id = :client_id)"
    ' INSERT INTO revocations (id, client_id, organization, consent_id, "order", record, recorded_at)'
    " VALUES (:id, :client_id, :organization, :consent_id, :order, :record, :recorded_at)"
)
_CHANGE: Final = text("UPDATE clients SET last_order = :order, consents = :consents WHERE id = :id")
_ACCEPTED: Final = (
    "UPDATE {table} SET accepted_at = clock_timestamp(), log_partition = placed.log_partition,"
    " log_offset = placed.log_offset"
    ' FROM unnest(:ids, :orders, :partitions, :offsets) AS placed(id, "order", log_partition, log_offset)'
    ' WHERE {table}.id = placed.id AND {table}."order" = placed."order" AND accepted_at IS NULL'
)
_PLACES: Final = (
    bindparam("ids", type_=ARRAY(TEXT)),
    bindparam("orders", type_=ARRAY(BIGINT)),
    bindparam("partitions", type_=ARRAY(INTEGER)),
    bindparam("offsets", type_=ARRAY(BIGINT)),
)
_CONSENTS_ACCEPTED: Final = text(_ACCEPTED.format(table="consents")).bindparams(*_PLACES)
_REVOCATIONS_ACCEPTED: Final = text(_ACCEPTED.format(table="revocations")).bindparams(*_PLACES)


async def add_consent(
    session: AsyncSession, client: Locked, change: Change, body: bodies.NewConsent, *, recorder: str
) -> None:
    """Record a consent of a locked client."""
    said = body.model_dump(include={"decision", "attested"}) | {"due_at": ending.first_due_at(change, client.now)}
    await session.execute(_ADD_CONSENT, {**_changed(client, change, recorder), **said})
    await _put(session, client, change)


async def renew_consent(session: AsyncSession, client: Locked, change: Change) -> None:
    """Record a new version of a consent of a locked client in the old one's place."""
    row = _changed(client, change, "") | {"due_at": ending.first_due_at(change, client.now)}
    await session.execute(_RENEW_CONSENT, row)
    await _put(session, client, change)


async def add_revocation(
    session: AsyncSession, client: Locked, change: Change, *, desk: str, consent_id: str | None
) -> None:
    """Record a revocation of a locked client; `consent_id` is the consent it is of, or was said of."""
    await session.execute(_ADD_REVOCATION, {**_changed(client, change, desk), "consent_id": consent_id})
    await _put(session, client, change)


async def add_expiry(session: AsyncSession, client: Locked, change: Change) -> None:
    """Say on the log that a consent's time is over, for a locked client."""
    row = {"order": change.event.data.order, "consents": canonical.encode(change.consents), "id": client.client_id}
    await session.execute(_CHANGE, row)
    await _put(session, client, change)


async def add_notice(session: AsyncSession, notice: ConsentExpiring) -> None:
    """Tell a consent's recorder of its end."""
    consent_id = notice.data.consent_id
    body = canonical.encode(notice)
    await outbox.put(session, topic=NOTICES, key=consent_id.encode(), aggregate=consent_id, body=body)


def _changed(client: Locked, change: Change, organization: str) -> dict[str, Any]:
    return {
        "id": change.record.id,
        "client_id": client.client_id,
        "organization": organization,
        "order": change.event.data.order,
        "consents": canonical.encode(change.consents),
        "record": canonical.encode(change.record),
        "recorded_at": client.now,
    }


async def _put(session: AsyncSession, client: Locked, change: Change) -> None:
    await outbox.put(session, topic=TOPIC, key=client.client_id.encode(), aggregate=client.client_id, body=change.body)


async def accepted(session: AsyncSession, done: Sequence[Acknowledged]) -> None:
    """Note which consents and revocations the log has taken, and where: what the relay calls when it has."""
    done = [each for each in done if each.row.topic == TOPIC]
    said = [_record(parse(each.row.body)) for each in done]
    places = {
        "ids": [id_ for id_, _ in said],
        "orders": [order for _, order in said],
        "partitions": [each.placed.partition for each in done],
        "offsets": [each.placed.offset for each in done],
    }
    await session.execute(_CONSENTS_ACCEPTED, places)
    await session.execute(_REVOCATIONS_ACCEPTED, places)


def _record(event: Event) -> tuple[str, int]:
    """Which consent or revocation a record is of, and its order; nothing for one that has no row."""
    match event:
        case ConsentRevoked():
            return event.data.revocation.id, event.data.order
        case ConsentGranted() | ConsentRefused() | ConsentExcluded():
            return event.data.consent.id, event.data.order
    return "", 0


async def own_consent(session: AsyncSession, recorder: str, consent_id: str) -> bodies.Consent:
    """Return a consent that this organization recorded, as it is now; Problem 404 for any other."""
    found = (await session.execute(_shown(recorder).where(col(Consent.id) == consent_id))).one_or_none()
    if found is None:
        raise Problem("not-found")
    return _view(*found)


async def page(session: AsyncSession, recorder: str, client_id: str | None, paging: Paging) -> Page[bodies.Consent]:
    """Return a page of the consents that an organization recorded, the oldest first."""
    query = _shown(recorder)
    if client_id is not None:
        query = query.where(col(Consent.client_id) == client_id)
    rows = (await session.execute(paging.window(query, col(Consent.number)))).all()
    return paging.page(rows, lambda row: row[0].number, lambda row: _view(*row))


async def consent(session: AsyncSession, consent_id: str) -> Consent | None:
    """Return a consent, whoever recorded it."""
    return (await session.execute(select(Consent).where(col(Consent.id) == consent_id))).scalar_one_or_none()


async def decision_of(session: AsyncSession, client_id: str, consent_id: str) -> str | None:
    """Return what was decided by a consent of this client, whoever recorded it; None if it has no such consent."""
    rows = await session.execute(
        select(col(Consent.decision)).where(col(Consent.id) == consent_id, col(Consent.client_id) == client_id)
    )
    return rows.scalar_one_or_none()


def _shown(recorder: str) -> Select[Consent, bytes, datetime]:
    """An organization's consents, with what may cross about their clients and the database's time."""
    return (
        select(Consent, col(Client.consents), func.clock_timestamp())
        .join(Client, col(Client.id) == col(Consent.client_id))
        .where(col(Consent.recorder) == recorder)
        .execution_options(populate_existing=True)
    )


def _view(row: Consent, consents: bytes, now: datetime) -> bodies.Consent:
    record, state = _RECORD.decode(row.record), clients.read_consents(consents)
    held = HeldConsent(order=row.order, recorder=row.recorder, consent=record)
    return bodies.Consent(
        id=row.id,
        version=record.version,
        client_id=row.client_id,
        decision=row.decision,
        status=model.status(row.decision, held, state, now),
        state="recorded" if row.accepted_at is None else "accepted",
        recorded_by=row.recorder,
        recorded_at=row.recorded_at,
        accepted_at=row.accepted_at,
        to=list(record.to),
        categories=list(record.categories),
        purposes=list(record.purposes),
        valid_from=record.valid_from,
        expires_at=record.expires_at,
        attested=row.attested,
        form=bodies.Form.model_validate(record, from_attributes=True),
    )
