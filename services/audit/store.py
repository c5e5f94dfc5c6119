"""Queries of what was decided and delivered; whatever an organization reads is narrowed to its own here."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from psycopg.rows import dict_row
from sqlalchemy import (
    ColumnElement,
    Select,
    SQLColumnExpression,
    and_,
    bindparam,
    case,
    exists,
    or_,
    select,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, TEXT, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased
from sqlmodel import col

from schemas.events import DataCategory
from schemas.records import ReferralEnteredInError
from services.audit.bodies import InError
from services.audit.tables import ConsentInError, Decision, Delivery, Organization
from services.kit.database import driver
from services.kit.problems import Problem

DECISIONS_LOCK: Final = 7_201_865_306
"""Any constant: decisions commit in the order of their numbers, so that no cursor passes one by."""

IN_ERROR: Final = str(ReferralEnteredInError.__struct_config__.tag)

Row = dict[str, Any]

# Every record on the log passes these statements: by hand, one for all that a run says, and to psycopg directly.
_LOCK_DECISIONS: Final = f"SELECT pg_advisory_xact_lock({DECISIONS_LOCK})"
_ADD_EVENTS: Final = (
    "INSERT INTO undecided_events"
    " SELECT * FROM jsonb_populate_recordset(CAST(NULL AS undecided_events), CAST(%(said)s AS jsonb))"
)
_TAKE_EVENTS: Final = (
    "DELETE FROM undecided_events AS e"
    " USING unnest(CAST(%(partitions)s AS integer[]), CAST(%(offsets)s AS bigint[])) AS last(partition, upto)"
    " WHERE e.partition = last.partition AND source_offset <= upto RETURNING e.*"
)
_ADD_DECISIONS: Final = (
    "INSERT INTO decisions (id, partition, source_offset, at, policy_version, event_id, type, client_id, referral_id,"
    " reference, originator, publisher, publisher_project, recipient, recipient_project, purpose, verdict, categories,"
    " withheld, reasons, status, agreements, basis, obligations, told_categories)"
    " SELECT id, partition, source_offset, at, policy_version, event_id, type, client_id, referral_id,"
    " reference, originator, publisher, publisher_project, recipient, recipient_project, purpose, verdict, categories,"
    " withheld, reasons, status, agreements, basis, obligations, told_categories"
    " FROM jsonb_populate_recordset(CAST(NULL AS decisions), CAST(%(said)s AS jsonb)) WITH ORDINALITY AS said"
    " ORDER BY ordinality"
)
_ADD_DELIVERIES: Final = (
    "INSERT INTO deliveries (decision_id, endpoint, attempt, state, channel, verdict, categories, at, reason, consents,"
    " obligations) SELECT decision_id, endpoint, attempt, state, channel, verdict, categories, at, reason, consents,"
    " obligations FROM jsonb_populate_recordset(CAST(NULL AS deliveries), CAST(%(said)s AS jsonb))"
    " ON CONFLICT DO NOTHING"
)
_LOCK_TOLD: Final = (
    "SELECT id, number, told_verdict, told_categories FROM decisions WHERE id = ANY(CAST(%(ids)s AS text[]))"
    " ORDER BY number FOR UPDATE"
)
_TELL: Final = (
    "UPDATE decisions SET told_verdict = said.told_verdict, told_categories = said.told_categories"
    " FROM jsonb_to_recordset(CAST(%(said)s AS jsonb))"
    "  AS said(number bigint, told_verdict text, told_categories text[])"
    " WHERE decisions.number = said.number"
)

_CONFIRM_ERRORS: Final = (
    "UPDATE consents_in_error AS e SET at = said.at"
    " FROM jsonb_to_recordset(CAST(%(said)s AS jsonb)) AS said(partition int, source_offset bigint, at timestamptz)"
    " WHERE (e.partition, e.source_offset) = (said.partition, said.source_offset)"
)
# What was sent says on which consents; the decision on the log may have rested on others. A recipient reads it where it
# was asked for its copy: of a consent's end, too, nobody hears but through the boundary.
_ERRORS: Final = text(
    "SELECT decision_id, relied.consent_id, min(e.at)"
    " FROM deliveries CROSS JOIN unnest(deliveries.consents) AS relied(consent_id)"
    " JOIN consents_in_error AS e ON e.consent_id = relied.consent_id AND e.at IS NOT NULL"
    " JOIN decisions AS d ON d.id = decision_id"
    " WHERE decision_id = ANY(:ids) AND (:reader IS NULL OR d.originator = :reader OR EXISTS"
    "  (SELECT FROM decisions AS said WHERE said.recipient = :reader AND said.told_verdict IS NOT NULL"
    "   AND (said.client_id, said.referral_id) = (d.client_id, d.referral_id)"
    "   AND 'withdraw-copy' = ANY(said.obligations)))"
    " GROUP BY decision_id, relied.consent_id ORDER BY relied.consent_id"
).bindparams(bindparam("ids", type_=ARRAY(TEXT)), bindparam("reader", type_=TEXT))


class Told(msgspec.Struct):
    """What has been told of a decision by now."""

    number: int
    told_verdict: str | None
    told_categories: list[DataCategory]


async def add_events(session: AsyncSession, rows: Sequence[Row]) -> None:
    """Keep events that are not decided yet."""
    if rows:
        await (await driver(session)).execute(_ADD_EVENTS, _said(rows))


async def take_events(session: AsyncSession, last: Mapping[int, int]) -> dict[tuple[int, int], Row]:
    """Remove the events up to and with these offsets, by partition; return them by partition and offset."""
    async with (await driver(session)).cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_TAKE_EVENTS, {"partitions": list(last), "offsets": list(last.values())})
        return {(event["partition"], event["source_offset"]): event for event in await cursor.fetchall()}


async def add_organizations(session: AsyncSession, ids: Collection[str]) -> None:
    """Know organizations."""
    if ids:
        rows = [{"id": each} for each in sorted(set(ids))]
        await session.execute(insert(Organization).on_conflict_do_nothing(), rows)


async def add_errors(session: AsyncSession, rows: Sequence[Row]) -> None:
    """Keep which records say that a consent was entered in error, until the boundary has said whether they count."""
    if rows:
        await session.execute(insert(ConsentInError).on_conflict_do_nothing(), rows)


async def confirm_errors(session: AsyncSession, rows: Sequence[Row]) -> None:
    """Note which records the boundary took as what they say, and when; others than those kept change nothing."""
    if rows:
        await (await driver(session)).execute(_CONFIRM_ERRORS, _said(rows))


async def errors(session: AsyncSession, decision_ids: Collection[str], reader: str | None) -> dict[str, list[InError]]:
    """Return, by decision, the consents under which something was sent and which were entered in error since.

    As far as this organization may know: its own, and what it was asked back; all of them where it is None.
    """
    found: defaultdict[str, list[InError]] = defaultdict(list)
    for decision_id, consent_id, at in await session.execute(_ERRORS, {"ids": list(decision_ids), "reader": reader}):
        found[decision_id].append(InError(consent=consent_id, at=at))
    return found


async def add_decisions(session: AsyncSession, rows: Sequence[Row]) -> None:
    """Write decisions, in order."""
    connection = await driver(session)
    await connection.execute(_LOCK_DECISIONS)
    await connection.execute(_ADD_DECISIONS, _said(rows))


async def add_deliveries(session: AsyncSession, rows: Sequence[Row]) -> None:
    """Write what became of releases; what was said before stays as it was said first."""
    await (await driver(session)).execute(_ADD_DELIVERIES, _said(rows))


async def locked(session: AsyncSession, decision_ids: Collection[str]) -> dict[str, list[Told]]:
    """Return what was told of decisions, by their ids, locked for a change."""
    rows = await (await driver(session)).execute(_LOCK_TOLD, {"ids": list(decision_ids)})
    found: defaultdict[str, list[Told]] = defaultdict(list)
    for id_, number, verdict, categories in await rows.fetchall():
        found[id_].append(Told(number, verdict, categories))
    return found


async def tell(session: AsyncSession, told: Sequence[Told]) -> None:
    """Write what has been told of decisions that are locked."""
    if told:
        await (await driver(session)).execute(_TELL, _said(told))


async def check_known(session: AsyncSession, field: str, organization: str) -> None:
    """Problem 422 naming the field for an organization that is not registered."""
    if await session.get(Organization, organization) is None:
        raise Problem("unknown-organization", field=field)


async def deliveries(session: AsyncSession, decision_ids: Collection[str]) -> dict[str, list[Delivery]]:
    """Return all that became of decisions, by decision."""
    found: defaultdict[str, list[Delivery]] = defaultdict(list)
    for delivery in await session.scalars(select(Delivery).where(col(Delivery.decision_id).in_(decision_ids))):
        found[delivery.decision_id].append(delivery)
    return found


def _said(rows: Sequence[Row] | Sequence[Told]) -> dict[str, str]:
    return {"said": msgspec.json.encode(rows).decode()}


@dataclass(frozen=True)
class Wanted:
    """What a list is narrowed to."""

    client_id: str | None = None
    recipient: str | None = None
    verdict: str | None = None


def of_everybody(wanted: Wanted) -> Select[Decision]:
    """Every decision that is wanted."""
    return select(Decision).where(*_conditions(wanted, verdict=col(Decision.verdict), may_name_client=true()))


def own(organization: str, wanted: Wanted) -> Select[Decision, bool]:
    """An organization's own decisions that are wanted, and of each whether it knows who the client is."""
    knows, verdict = _knows(organization), _shown_verdict(organization)
    conditions = _conditions(wanted, verdict=verdict, may_name_client=knows)
    return select(Decision, knows).where(_is_own(organization), *conditions)


def accounting(organization: str, client_id: str) -> Select[Decision]:
    """The organization's own decisions by which anything of this client was to cross."""
    about = col(Decision.client_id) == client_id
    return select(Decision).where(
        _is_own(organization), _knows(organization), about, _shown_verdict(organization) != "deny"
    )


async def entered_in_error(session: AsyncSession, organization: str, referral_ids: Collection[str]) -> set[str]:
    """Return those of the referrals that were entered in error, as far as the organization said so or was told."""
    heard = or_(col(Decision.publisher) == organization, col(Decision.told_verdict) == "status")
    found = select(col(Decision.referral_id)).where(
        _is_own(organization), heard, col(Decision.type) == IN_ERROR, col(Decision.referral_id).in_(referral_ids)
    )
    return set(await session.scalars(found))


async def is_party(session: AsyncSession, organization: str, client_id: str) -> bool:
    """Tell whether an organization has a decision of its own about a client it knows."""
    about = col(Decision.client_id) == client_id
    found = select(exists().where(_is_own(organization), _knows(organization), about))
    return (await session.scalars(found)).one()


def _conditions(
    wanted: Wanted, *, verdict: SQLColumnExpression[Any], may_name_client: ColumnElement[bool]
) -> Iterator[ColumnElement[bool]]:
    if wanted.client_id is not None:
        yield and_(col(Decision.client_id) == wanted.client_id, may_name_client)
    if wanted.recipient is not None:
        yield col(Decision.recipient) == wanted.recipient
    if wanted.verdict is not None:
        yield verdict == wanted.verdict


def _is_own(organization: str) -> ColumnElement[bool]:
    """As publisher every one; as recipient those of which something was delivered: of the rest it may not know."""
    received = and_(col(Decision.recipient) == organization, col(Decision.told_verdict).is_not(None))
    return or_(col(Decision.publisher) == organization, received)


def _knows(organization: str) -> ColumnElement[bool]:
    """Whether an organization knows client and referral: it is the originator, or was given a permit of this referral.

    Anyone else has heard at most a reference, and must not be able to try client ids against its rows either.
    """
    given = aliased(Decision)
    permit = exists().where(
        col(given.client_id) == col(Decision.client_id),
        col(given.referral_id) == col(Decision.referral_id),
        col(given.recipient) == organization,
        col(given.told_verdict) == "permit",
    )
    return or_(col(Decision.originator) == organization, permit)


def _shown_verdict(organization: str) -> ColumnElement[Any]:
    """The verdict as its row says it: to a recipient, that of what was delivered."""
    told = case((col(Decision.told_verdict) == "closed", "status"), else_=col(Decision.told_verdict))
    return case((col(Decision.publisher) == organization, col(Decision.verdict)), else_=told)
