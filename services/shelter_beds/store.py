"""Queries of the shelter_beds service. To whoever calls there are tests' units or real ones, and no others at all."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Row, Select, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from services.kit.auth import Principal
from services.kit.database import driver
from services.kit.problems import Problem
from services.shelter_beds.model import HoldState
from services.shelter_beds.tables import Bed, Change, Hold, Unit

_GLANCE: Final = (
    "SELECT profile,"
    " (SELECT count(*) FROM beds LEFT JOIN holds ON holds.id = beds.hold_id WHERE beds.unit_id = units.id"
    "  AND (beds.status = 'free' OR holds.expires_at <= clock_timestamp())),"
    " (SELECT count(*) FROM holds WHERE unit_id = units.id AND ended_at IS NULL"
    "  AND holder = %(holder)s AND expires_at > clock_timestamp())"
    " FROM units WHERE id = %(unit_id)s AND NOT withdrawn AND test = %(test)s"
)
IS_LIVE: Final = col(Hold.ended_at).is_(None)


class UnitBusy(Exception):
    """Somebody else has the unit's row, and whoever wants it does not want to wait."""


class Glance(NamedTuple):
    """A unit as it is seen without waiting for anybody: its profile, and how many of its beds may be free in a moment.

    A hold that is over is none, though nobody has ended it yet. `open_holds` are those of whoever looks, also
    those that are only asked for.
    """

    profile: dict[str, Any]
    takeable: int
    open_holds: int


def kind_of(caller: Principal) -> bool | None:
    """Say whether the units that there are for a caller are tests; None: they are all, for the administrator."""
    return None if caller.is_admin else caller.test


async def glance(session: AsyncSession, caller: Principal, unit_id: str) -> Glance:
    """Look at a unit as somebody who wants to hold beds of it; Problem 404."""
    asked = {"unit_id": unit_id, "holder": caller.own_organization(), "test": caller.test}
    found = await (await driver(session)).execute(_GLANCE, asked)
    row = await found.fetchone()
    if row is None:
        raise Problem("not-found")
    return Glance(*row)


async def unit(session: AsyncSession, caller: Principal, unit_id: str) -> Unit:
    """Return a unit; Problem 404."""
    row = await session.get(Unit, unit_id)
    if row is None or kind_of(caller) not in {None, row.test}:
        raise Problem("not-found")
    return row


async def unit_at_the_desk(session: AsyncSession, caller: Principal, unit_id: str) -> Unit:
    """Return a unit at whose desk the caller acts, or which it administers; Problem 404."""
    row = await unit(session, caller, unit_id)
    if not caller.is_admin and caller.organization not in {row.organization, *row.profile["delegates"]}:
        raise Problem("not-found")
    return row


async def locked(session: AsyncSession, unit_id: str, kind: bool | None, *, waits: bool = True) -> Unit:
    """Return a unit, locked: its beds and holds are the caller's until the transaction ends. Problem 404.

    Who does not wait for it knows that there is one; UnitBusy.
    """
    query = select(Unit).where(col(Unit.id) == unit_id).execution_options(populate_existing=True)
    if kind is not None:
        query = query.where(col(Unit.test) == kind)
    row = (await session.scalars(query.with_for_update(skip_locked=not waits))).first()
    if row is None:
        raise Problem("not-found") if waits else UnitBusy
    return row


async def beds(session: AsyncSession, unit_id: str) -> list[Bed]:
    """Return a unit's beds as they are now, in their order."""
    query = select(Bed).where(col(Bed.unit_id) == unit_id).order_by(col(Bed.place))
    return list((await session.scalars(query.execution_options(populate_existing=True))).all())


async def beds_of(session: AsyncSession, unit_ids: Collection[str]) -> dict[str, list[Bed]]:
    """Return the beds of several units, by unit."""
    found: dict[str, list[Bed]] = {unit_id: [] for unit_id in unit_ids}
    query = select(Bed).where(col(Bed.unit_id).in_(unit_ids)).order_by(col(Bed.unit_id), col(Bed.place))
    for bed in await session.scalars(query):
        found[bed.unit_id].append(bed)
    return found


def units(caller: Principal) -> Select[Unit]:
    """Select the units at whose desk a caller may act: its own, and those that delegated to it; the administrator all.

    Problem 403 for another credential that belongs to no organization.
    """
    query = select(Unit).where(~col(Unit.withdrawn))
    return query if caller.is_admin else query.where(_at_the_desk(caller))


def said_units(caller: Principal) -> Select[Unit]:
    """Select all units of which something is said; to the administrator too the real ones."""
    return select(Unit).where(~col(Unit.withdrawn), col(Unit.said).is_not(None), col(Unit.test) == caller.test)


async def hold(session: AsyncSession, hold_id: str) -> Hold:
    """Return a hold as it is now. Problem 404."""
    row = await session.get(Hold, hold_id)
    if row is None:
        raise Problem("not-found")
    return row


def holds(caller: Principal, unit_id: str | None, state: HoldState | None, door_code: str | None) -> Select[Hold]:
    """Select the holds that a caller has, or that are at a unit at whose desk it may act."""
    desk = select(col(Unit.id)).where(_at_the_desk(caller))
    query = select(Hold).join(Unit, col(Unit.id) == col(Hold.unit_id)).where(col(Unit.test) == caller.test)
    query = query.where(or_(col(Hold.holder) == caller.own_organization(), col(Hold.unit_id).in_(desk)))
    wanted = {Hold.unit_id: unit_id, Hold.state: state, Hold.door_code: door_code}
    return query.where(*(col(column) == value for column, value in wanted.items() if value is not None))


async def live_holds(session: AsyncSession, unit_id: str) -> list[Hold]:
    """Return the holds that live at a unit, whose row is locked, the first to end first."""
    query = select(Hold).where(col(Hold.unit_id) == unit_id, IS_LIVE).order_by(col(Hold.expires_at), col(Hold.id))
    return list((await session.scalars(query.execution_options(populate_existing=True))).all())


def live_holds_of(caller: Principal) -> Select[Hold, Unit]:
    """Select the live holds of a caller's organization with each one's unit, the first to end first."""
    query = select(Hold, Unit).join(Unit, col(Unit.id) == col(Hold.unit_id)).where(col(Unit.test) == caller.test)
    query = query.where(IS_LIVE, col(Hold.holder) == caller.own_organization())
    return query.order_by(col(Hold.expires_at), col(Hold.id))


async def holds_since(session: AsyncSession, unit_id: str, moment: datetime) -> Sequence[Hold]:
    """Return the holds of a unit that live or ended after a moment."""
    query = select(Hold).where(col(Hold.unit_id) == unit_id, or_(IS_LIVE, col(Hold.ended_at) > moment))
    return (await session.scalars(query)).all()


async def units_with_due_holds(session: AsyncSession, moment: datetime, most: int) -> Sequence[str]:
    """Return units with holds whose time is over."""
    query = select(col(Hold.unit_id)).where(IS_LIVE, col(Hold.expires_at) <= moment).distinct().limit(most)
    return (await session.scalars(query)).all()


async def units_to_wake(session: AsyncSession, moment: datetime, most: int) -> Sequence[str]:
    """Return units that change by themselves about now."""
    query = select(col(Unit.id)).where(col(Unit.wakes_at) <= moment, ~col(Unit.withdrawn)).limit(most)
    return (await session.scalars(query)).all()


async def units_to_find(session: AsyncSession) -> Sequence[Row[str, str, str]]:
    """Return (id, organization, project) of every unit that is not confidential."""
    confidential = col(Unit.profile)["confidential"].as_boolean()
    query = select(col(Unit.id), col(Unit.organization), col(Unit.project)).where(~col(Unit.withdrawn), ~confidential)
    return (await session.execute(query.order_by(col(Unit.id)))).all()


async def real_units_of(session: AsyncSession, organizations: Collection[str]) -> Sequence[str]:
    """Return the units of some organizations that are not known to be tests'."""
    query = select(col(Unit.id)).where(~col(Unit.withdrawn), ~col(Unit.test), col(Unit.organization).in_(organizations))
    return (await session.scalars(query.order_by(col(Unit.id)))).all()


async def holds_for(session: AsyncSession, referral_ids: Collection[str]) -> Sequence[Hold]:
    """Return the live holds that name one of these referrals, those of one unit together, in the units' one order."""
    query = select(Hold).where(IS_LIVE, col(Hold.referral_id).in_(referral_ids))
    return (await session.scalars(query.order_by(col(Hold.unit_id), col(Hold.id)))).all()


def changes(unit_id: str) -> Select[Change]:
    """Select the changes of a unit."""
    return select(Change).where(col(Change.unit_id) == unit_id)


def _at_the_desk(caller: Principal) -> ColumnElement[bool]:
    organization = caller.own_organization()
    delegated = col(Unit.profile)["delegates"].contains([organization])
    return and_(col(Unit.test) == caller.test, or_(col(Unit.organization) == organization, delegated))
