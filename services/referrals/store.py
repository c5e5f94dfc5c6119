"""Queries of the referrals service."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Select, case, or_, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from schemas.records import ConsentGranted
from services.referrals.model import OPEN
from services.referrals.sight import CLOSED
from services.referrals.tables import METADATA, Decision, Member, Referral, UsedClient, View

DecisionId = tuple[int, int, str]  # partition, offset of the event, organization told

# Not through the mapper: one is made for every event with boxes, and nobody needs it as an object.
_NOTE = insert(METADATA.tables["decisions"]).on_conflict_do_nothing()

NAME = col(View.name)
_shown_status: ColumnElement[str] = case((col(View.state) == "closed", CLOSED), else_=col(View.word))


async def view(session: AsyncSession, organization: str, name: str, *, lock: bool = False) -> View | None:
    """Return what an organization may see of the referral that it knows by `name`, an id or a reference."""
    query = select(View).where(
        col(View.organization) == organization,
        col(View.state) != "hidden",
        or_(col(View.name) == name, col(View.reference) == name),
    )
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    return (await session.scalars(query)).first()


def views(organization: str, status: str | None) -> Select[View]:
    """Select all that an organization may see, of one status as shown if asked."""
    query = select(View).where(col(View.organization) == organization, col(View.state) != "hidden")
    return query if status is None else query.where(_shown_status == status)


async def own_view(session: AsyncSession, referral: Referral) -> View:
    """Return, locked, what the originator may see of its referral."""
    query = select(View).where(col(View.organization) == referral.originator, col(View.name) == referral.id)
    return (await session.scalars(query.with_for_update().execution_options(populate_existing=True))).one()


async def locked(session: AsyncSession, referral_id: str) -> Referral:
    """Return a referral that exists, locked: whoever publishes an event of it holds its row."""
    query = select(Referral).where(col(Referral.id) == referral_id).with_for_update()
    return (await session.scalars(query.execution_options(populate_existing=True))).one()


async def historical(session: AsyncSession, referral_id: str, recipient: str) -> Referral | None:
    """Return a recipient's historical referral, which no decision ever lets it know."""
    query = select(Referral).where(
        col(Referral.id) == referral_id, col(Referral.recipient) == recipient, col(Referral.historical)
    )
    return (await session.scalars(query)).first()


async def member(session: AsyncSession, referral_id: str, client_id: str) -> Member | None:
    """Return one client of a referral as its row is now; who wants to change it has the referral locked."""
    return await session.get(Member, (referral_id, client_id), populate_existing=True)


async def head(session: AsyncSession, referral_id: str) -> Member:
    """Return a referral's head of household."""
    query = select(Member).where(col(Member.referral_id) == referral_id, col(Member.head))
    return (await session.scalars(query)).one()


async def referrals(session: AsyncSession, ids: Collection[str]) -> dict[str, Referral]:
    """Return referrals by id."""
    rows = await session.scalars(select(Referral).where(col(Referral.id).in_(ids)))
    return {row.id: row for row in rows}


async def members(session: AsyncSession, referral_ids: Collection[str]) -> Sequence[Member]:
    """Return the households of referrals, heads first."""
    query = select(Member).where(col(Member.referral_id).in_(referral_ids))
    return (await session.scalars(query.order_by(col(Member.head).desc(), col(Member.client_id)))).all()


async def decisions(session: AsyncSession, referral_ids: Collection[str]) -> Sequence[Decision]:
    """Return the decisions on referrals' events with boxes, in the order of the log."""
    query = select(Decision).where(col(Decision.referral_id).in_(referral_ids))
    return (await session.scalars(query.order_by(col(Decision.partition), col(Decision.source_offset)))).all()


async def use_clients(session: AsyncSession, organization: str, client_ids: Sequence[str]) -> set[str]:
    """Note that a victim service provider uses these clients now; return those that it had not used before."""
    rows = [{"organization": organization, "client_id": client_id} for client_id in sorted(client_ids)]
    statement = insert(UsedClient).values(rows).on_conflict_do_nothing().returning(col(UsedClient.client_id))
    return set(await session.scalars(statement))


async def overdue(session: AsyncSession, now: datetime, limit: int) -> Sequence[str]:
    """Return the ids of referrals that nobody answered in time."""
    query = select(col(Referral.id)).where(
        col(Referral.status) == "requested", ~col(Referral.historical), col(Referral.respond_by) <= now
    )
    return (await session.scalars(query.order_by(col(Referral.respond_by)).limit(limit))).all()


async def note_events(session: AsyncSession, rows: Sequence[dict[str, object]]) -> None:
    """Make the rows of decisions to come."""
    if rows:
        await session.execute(_NOTE, rows)


async def to_follow(session: AsyncSession, event: ConsentGranted, partition: int) -> Sequence[Referral]:
    """Return, locked, the open referrals whose recipient and purpose a grant by their originator names.

    Only those whose request stands on the log before the grant: with any other the grant was counted already.
    """
    requested = select(col(Decision.referral_id)).where(
        col(Decision.partition) == partition, col(Decision.client_id) == event.data.client_id
    )
    concerning = select(col(Member.referral_id)).where(
        col(Member.client_id) == event.data.client_id, col(Member.referral_id).in_(requested)
    )
    query = select(Referral).where(
        col(Referral.id).in_(concerning),
        col(Referral.originator) == event.data.publisher.organization,
        col(Referral.recipient).in_(event.data.consent.to),
        col(Referral.purpose).in_(event.data.consent.purposes),
        col(Referral.status).in_(OPEN),
        ~col(Referral.historical),
    )
    query = query.order_by(col(Referral.id)).with_for_update().execution_options(populate_existing=True)
    return (await session.scalars(query)).all()


async def locked_decisions(session: AsyncSession, ids: Iterable[DecisionId]) -> dict[DecisionId, Decision]:
    """Return decisions by id, locked in one order, so that no two readers wait for each other."""
    key = (col(Decision.partition), col(Decision.source_offset), col(Decision.organization))
    query = select(Decision).where(tuple_(*key).in_(list(ids))).order_by(*key).with_for_update()
    rows = await session.scalars(query.execution_options(populate_existing=True))
    return {(row.partition, row.source_offset, row.organization): row for row in rows}


async def locked_views(session: AsyncSession, referral_ids: Collection[str], references: Collection[str]) -> list[View]:
    """Return what anybody may see of these referrals, locked in one order."""
    query = select(View).where(or_(col(View.referral_id).in_(referral_ids), col(View.reference).in_(references)))
    query = query.order_by(col(View.organization), col(View.name)).with_for_update()
    return list(await session.scalars(query.execution_options(populate_existing=True)))
