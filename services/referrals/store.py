"""Queries of the referrals service."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from psycopg import AsyncConnection
from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased
from sqlmodel import col

from schemas.records import ConsentAttested, ConsentGranted
from services.referrals.model import OPEN
from services.referrals.sight import CLOSED
from services.referrals.tables import Decision, Member, Referral, Step, View

# One round trip for a referral with all that belongs to it.
_ADD = (
    "WITH referral AS (INSERT INTO referrals (id, originator, originator_project, recipient, recipient_project,"
    " reference, purpose, call_back, external_id, respond_by, occurred_at, historical, status, version,"
    " status_version, created_at, nudge_at)"
    " VALUES (%(id)s, %(originator)s, %(originator_project)s, %(recipient)s, %(recipient_project)s, %(reference)s,"
    " %(purpose)s, %(call_back)s, %(external_id)s, %(respond_by)s, %(occurred_at)s, %(historical)s, %(status)s,"
    " %(version)s, %(status_version)s, %(created_at)s, %(nudge_at)s)),"
    " own AS (INSERT INTO views (organization, name, referral_id, permitted, reached, word, version, state, status_at)"
    " VALUES (%(originator)s, %(id)s, %(id)s, true, true, %(status)s, %(version)s, 'open', %(created_at)s))"
    " INSERT INTO members (referral_id, client_id, head, version, sealed, next_seq, followed_order)"
    " SELECT %(id)s, client_id, head, %(version)s, sealed, next_seq, 0"
    " FROM unnest(CAST(%(client_ids)s AS text[]), CAST(%(heads)s AS boolean[]), CAST(%(sealed)s AS bytea[]),"
    "  CAST(%(next_seqs)s AS integer[])) AS said(client_id, head, sealed, next_seq)"
)

# In one order, so that two requests of one household wait for each other and do not deadlock.
_USE = (
    "INSERT INTO used_clients (organization, client_id)"
    " SELECT %(organization)s, client_id"
    " FROM unnest(CAST(%(client_ids)s AS text[])) WITH ORDINALITY AS said(client_id, place)"
    " ORDER BY place ON CONFLICT DO NOTHING RETURNING client_id"
)

STEPS_SHOWN: Final = 50
"""Of each referral: service can pause and go on for years."""
NAME = col(View.name)
_shown_status: ColumnElement[str] = case((col(View.state) == "closed", CLOSED), else_=col(View.word))


async def add(connection: AsyncConnection, referral: Referral, members: Sequence[Member]) -> None:
    """Insert a new referral with its household and what its originator sees of it: its first word."""
    row = {
        **referral.model_dump(),
        "client_ids": [member.client_id for member in members],
        "heads": [member.head for member in members],
        "sealed": [member.sealed for member in members],
        "next_seqs": [member.next_seq for member in members],
    }
    await connection.execute(_ADD, row)


async def view(session: AsyncSession, organization: str, name: str) -> View | None:
    """Return what an organization may see of the referral that it knows by `name`, an id or a reference.

    While a member's row has the id for its name, the id is the member's alone, and hidden if that is. Otherwise the
    head's row answers to the id from the boundary's permit on: its webhook may be here before the word that it arrived.
    """
    by_name = col(View.name) == name
    known_as = or_(by_name, and_(col(View.referral_id) == name, col(View.permitted)))
    query = select(View).where(col(View.organization) == organization, known_as).order_by(by_name.desc()).limit(1)
    row = (await session.scalars(query)).first()
    return row if row is not None and row.state != "hidden" else None


async def unsettled(session: AsyncSession, organization: str, referral_id: str) -> bool:
    """Whether a word is on its way that changes what an organization sees of a referral that it knows by its id.

    To the originator, of what a recipient did; to a recipient, a permit of the head of household.
    """
    # After `closed` no word is due.
    newer = and_(col(Referral.status_version) > col(View.version), col(View.state) == "open")
    moved = and_(col(View.client_id).is_(None), newer)
    told_of_head = and_(col(View.name) != referral_id, col(View.permitted), ~col(View.reached))
    query = select(col(View.name)).join(Referral, col(Referral.id) == col(View.referral_id))
    query = query.where(col(View.organization) == organization, col(View.referral_id) == referral_id)
    return (await session.scalars(query.where(or_(moved, told_of_head)))).first() is not None


async def head_reached(session: AsyncSession, referral: Referral) -> bool:
    """Whether the recipient was told of the head of household by the referral's id."""
    row = await session.get(View, (referral.recipient, referral.reference))
    return row is not None and row.reached


async def members_can_be_told(session: AsyncSession, referral: Referral, head: Member) -> bool:
    """Whether the other members' end may be said under the referral's id, in the same moment as the head's.

    Not to a recipient that knows the head by the reference alone, or may yet: both words together would link the two.
    """
    if await head_reached(session, referral):
        return True
    decided = select(col(Decision.verdict)).distinct()
    of_head = decided.where(col(Decision.referral_id) == referral.id, col(Decision.client_id) == head.client_id)
    return (await session.scalars(of_head)).all() == ["deny"]


def views(organization: str, status: str | None) -> Select[View]:
    """Select all that an organization may see and has a name for, of one status as shown if asked."""
    nameable = or_(col(View.client_id).is_(None), col(View.name) != col(View.referral_id), col(View.reached))
    query = select(View).where(col(View.organization) == organization, col(View.state) != "hidden", nameable)
    return query if status is None else query.where(_shown_status == status)


async def lock_view(session: AsyncSession, view: View) -> None:
    """Lock a row, and let it say what it says now."""
    await session.refresh(view, with_for_update=True)


async def own_view(session: AsyncSession, referral: Referral) -> View:
    """Return, locked, what the originator may see of its referral."""
    query = select(View).where(col(View.organization) == referral.originator, col(View.name) == referral.id)
    return (await session.scalars(query.with_for_update().execution_options(populate_existing=True))).one()


async def locked(session: AsyncSession, referral_id: str) -> Referral:
    """Return a referral that exists, locked: whoever publishes an event of it holds its row."""
    query = select(Referral).where(col(Referral.id) == referral_id).with_for_update()
    return (await session.scalars(query.execution_options(populate_existing=True))).one()


async def locked_history(session: AsyncSession, referral_id: str, recipient: str) -> Referral | None:
    """Return, locked, a recipient's historical referral, which no decision ever lets it know."""
    query = select(Referral).where(
        col(Referral.id) == referral_id, col(Referral.recipient) == recipient, col(Referral.historical)
    )
    return (await session.scalars(query.with_for_update())).first()


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


async def add_steps(session: AsyncSession, steps: Sequence[Step]) -> None:
    """Keep steps; one that is said again changes nothing."""
    if steps:
        await session.execute(insert(Step).on_conflict_do_nothing(), [step.model_dump() for step in steps])


async def steps(session: AsyncSession, referral_ids: Collection[str]) -> Sequence[Step]:
    """Return the newest steps of each referral, the oldest first."""
    newest = func.row_number().over(partition_by=col(Step.referral_id), order_by=col(Step.version).desc())
    numbered = select(Step, newest.label("place")).where(col(Step.referral_id).in_(referral_ids)).subquery()
    found = aliased(Step, numbered)
    query = select(found).where(numbered.c.place <= STEPS_SHOWN).order_by(col(found.version))
    return (await session.scalars(query)).all()


async def use_clients(connection: AsyncConnection, organization: str, client_ids: Sequence[str]) -> set[str]:
    """Note that a victim service provider uses these clients now; return those that it had not used before."""
    found = await connection.execute(_USE, {"organization": organization, "client_ids": sorted(client_ids)})
    return {client_id for (client_id,) in await found.fetchall()}


async def overdue(session: AsyncSession, now: datetime, limit: int) -> Sequence[str]:
    """Return the ids of referrals that nobody answered in time."""
    query = select(col(Referral.id)).where(
        col(Referral.status) == "requested", ~col(Referral.historical), col(Referral.respond_by) <= now
    )
    return (await session.scalars(query.order_by(col(Referral.respond_by)).limit(limit))).all()


async def to_nudge(session: AsyncSession, now: datetime, limit: int) -> Sequence[str]:
    """Return the ids of referrals whose recipients are to be asked again."""
    query = select(col(Referral.id)).where(
        col(Referral.status) == "requested",
        col(Referral.nudged_at).is_(None),
        col(Referral.nudge_at) <= now,
        col(Referral.respond_by) > now,
    )
    return (await session.scalars(query.order_by(col(Referral.nudge_at)).limit(limit))).all()


async def to_follow(session: AsyncSession, event: ConsentGranted, partition: int) -> Sequence[Referral]:
    """Return, locked, the open referrals whose recipient and purpose a grant by their originator names.

    What is attested may count for any originator's. Only those whose request stands on the log before the grant: with
    any other the grant was counted already.
    """
    requested = select(col(Decision.referral_id)).where(
        col(Decision.partition) == partition, col(Decision.client_id) == event.data.client_id
    )
    concerning = select(col(Member.referral_id)).where(
        col(Member.client_id) == event.data.client_id, col(Member.referral_id).in_(requested)
    )
    query = select(Referral).where(
        col(Referral.id).in_(concerning),
        col(Referral.recipient).in_(event.data.consent.to),
        col(Referral.purpose).in_(event.data.consent.purposes),
        col(Referral.status).in_(OPEN),
        ~col(Referral.historical),
    )
    if not isinstance(event, ConsentAttested):
        query = query.where(col(Referral.originator) == event.data.publisher.organization)
    query = query.order_by(col(Referral.id)).with_for_update().execution_options(populate_existing=True)
    return (await session.scalars(query)).all()


async def locked_views(
    session: AsyncSession, referral_ids: Collection[str], names: Collection[tuple[str, str]] = ()
) -> list[View]:
    """Return, locked in one order, what anybody may see of these referrals, and the rows of (organization, name)."""
    wanted: ColumnElement[bool] = col(View.referral_id).in_(referral_ids)
    if names:
        wanted = or_(wanted, tuple_(col(View.organization), col(View.name)).in_(names))
    query = select(View).where(wanted).order_by(col(View.organization), col(View.name)).with_for_update()
    return list(await session.scalars(query.execution_options(populate_existing=True)))
