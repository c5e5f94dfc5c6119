"""Queries of what was decided and delivered; whatever an organization reads is narrowed to its own here."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, SQLColumnExpression, and_, case, delete, exists, func, or_, select, true
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased
from sqlmodel import col

from services.audit.tables import Decision, Delivery, Organization, ReferralEvent
from services.kit.problems import Problem

DECISIONS_LOCK: Final = 7_201_865_306
"""Any constant: decisions commit in the order of their numbers, so that no cursor passes one by."""

Row = dict[str, Any]


async def add_events(session: AsyncSession, rows: Sequence[Row]) -> None:
    """Keep events that are not decided yet."""
    if rows:
        await session.execute(insert(ReferralEvent), rows)


async def take_events(session: AsyncSession, last: Mapping[int, int]) -> dict[tuple[int, int], Row]:
    """Remove the events up to and with these offsets, by partition; return them by partition and offset."""
    decided = [
        and_(col(ReferralEvent.partition) == partition, col(ReferralEvent.source_offset) <= offset)
        for partition, offset in sorted(last.items())
    ]
    taken = await session.scalars(delete(ReferralEvent).where(or_(*decided)).returning(ReferralEvent))
    return {(event.partition, event.source_offset): event.model_dump() for event in taken}


async def add_organizations(session: AsyncSession, ids: Collection[str]) -> None:
    """Know organizations."""
    if ids:
        rows = [{"id": each} for each in sorted(set(ids))]
        await session.execute(insert(Organization).on_conflict_do_nothing(), rows)


async def add_decisions(session: AsyncSession, rows: Sequence[Row]) -> None:
    """Write decisions, in order."""
    await session.execute(select(func.pg_advisory_xact_lock(DECISIONS_LOCK)))
    await session.execute(insert(Decision), rows)


async def add_deliveries(session: AsyncSession, rows: Sequence[Row]) -> None:
    """Write what became of releases; what was said before stays as it was said first."""
    await session.execute(insert(Delivery).on_conflict_do_nothing(), rows)


async def locked(session: AsyncSession, decision_ids: Collection[str]) -> dict[str, list[Decision]]:
    """Return decisions by id, locked for a change."""
    rows = select(Decision).where(col(Decision.id).in_(decision_ids)).order_by(col(Decision.number)).with_for_update()
    found: defaultdict[str, list[Decision]] = defaultdict(list)
    for decision in await session.scalars(rows):
        found[decision.id].append(decision)
    return found


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
