"""Makes the tables of holds and beds what `bed-holds` says, and says what it lacks: one holder of each bed, or none."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from schemas.beds import HoldCheckedIn, HoldEvent, HoldExpired, HoldPlaced, HoldReleased
from services.kit import database
from services.shelter_beds import door_codes, saying, store
from services.shelter_beds.model import LIVE, BedStatus, HoldState
from services.shelter_beds.retold import BedAsSaid, HoldAsSaid, Retold, far
from services.shelter_beds.tables import Bed, Hold

_KIND: Final[dict[HoldState, type[HoldEvent]]] = {
    "placed": HoldPlaced,
    "released": HoldReleased,
    "expired": HoldExpired,
    "checked_in": HoldCheckedIn,
}


@dataclass(frozen=True)
class Taken:
    """How many holds were changed or made again, and the units at which anything changed."""

    holds: int
    units: frozenset[str]


async def retake(session: AsyncSession, told: Retold, known_units: Collection[str]) -> Taken:
    """Bring holds and beds up to what was told; the holds of a unit that we do not know end."""
    now = await database.now(session)
    codes = set(await session.scalars(select(col(Hold.door_code)).where(store.IS_LIVE)))
    rows: dict[str, Hold] = {}
    changed: set[str] = set()
    for hold_id, hold in told.holds.items():
        of_known_unit = hold.furthest.data.unit_id in known_units
        row = await session.get(Hold, hold_id)
        if row is None or far(row.state, extended=row.extended) < hold.far:
            row = _brought_up(row or _new(hold, codes), hold)
            if of_known_unit:
                session.add(row)
                changed.add(hold_id)
        rows[hold_id] = row
        if not of_known_unit and row.state in LIVE:
            row.state, row.reason, row.ended_at = "released", "cancelled", now
            if not row.bed_ids:
                await saying.hold(session, HoldReleased, row, (), now)
    await session.flush()  # the beds name them
    has = {bed_id: row for row in rows.values() if row.state == "placed" for bed_id in row.bed_ids}
    units = {rows[hold_id].unit_id for hold_id in changed}
    for bed_id in sorted(told.beds.keys() | has.keys()):
        bed = told.beds.get(bed_id)
        if await _settle(session, bed_id, bed, has.get(bed_id), rows, now) and bed is not None:
            units.add(bed.last.data.unit_id)
    return Taken(len(changed), frozenset(units & set(known_units)))


def _new(hold: HoldAsSaid, codes: set[str]) -> Hold:
    """A hold that was made since the backup: its door code is a new one, which its holder looks up."""
    data, code = hold.furthest.data, door_codes.new(codes)
    codes.add(code)
    return Hold(
        id=data.hold_id,
        unit_id=data.unit_id,
        organization=data.organization,
        holder=data.holder,
        beds=max(len(data.bed_ids), data.beds or 0, 1),
        discreet=data.discreet,
        door_code=code,
        minutes=max(1, round((hold.expires_at - (hold.placed_at or hold.began)).total_seconds() / 60)),
        state="requested",
        created_at=hold.began,
        expires_at=hold.expires_at,
    )


def _brought_up(row: Hold, hold: HoldAsSaid) -> Hold:
    data = hold.furthest.data
    row.state, row.extended, row.ended_at = hold.state, hold.extended, hold.ended_at
    row.reason, row.bed_ids = data.reason, list(data.bed_ids)
    row.placed_at, row.expires_at = hold.placed_at, hold.expires_at
    return row


async def _settle(
    session: AsyncSession,
    bed_id: str,
    told: BedAsSaid | None,
    holder: Hold | None,
    rows: dict[str, Hold],
    now: datetime,
) -> bool:
    """Let a bed be whose it is, and say each step of it that the log lacks; return whether anything was new."""
    bed = await session.get(Bed, bed_id) or await _made_again(session, bed_id, holder)
    is_new = told is not None and told.order > bed.last_order
    bed.last_order = max(bed.last_order, told.order if told else 0)
    before = told.hold_id if told else None
    if before is not None and (holder is None or holder.id != before):
        ended = rows[before]
        await saying.hold(session, _KIND.get(ended.state, HoldReleased), ended, [bed], now)
    if holder is not None and holder.id != before:
        await saying.hold(session, HoldPlaced, holder, [bed], now)
    if holder is not None:
        bed.status, bed.hold_id = "held", holder.id
    elif is_new or bed.status == "held":
        came = told is not None and told.was_checked_in
        bed.status, bed.hold_id = "occupied" if came else _unheld(bed), None
    return is_new


async def _made_again(session: AsyncSession, bed_id: str, holder: Hold | None) -> Bed:
    """Return a bed that the tables do not have: a row of it only if somebody has it; it may have been taken away."""
    bed = Bed(id=bed_id, unit_id=holder.unit_id if holder else "", label="", place=0, status="free")
    if holder is not None:
        last = await session.scalar(select(func.max(col(Bed.place))).where(col(Bed.unit_id) == holder.unit_id))
        bed.place = (last or 0) + 1
        bed.label = str(bed.place)
        session.add(bed)
    return bed


def _unheld(bed: Bed) -> BedStatus:
    return "free" if bed.status == "held" else bed.status
