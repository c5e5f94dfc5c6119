"""Puts what is said of units and holds into the outbox; the caller holds the unit's row locked."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncSession

from policy import canonical
from schemas import beds as said
from services.kit import outbox
from services.kit.keys import random_id
from services.shelter_beds.model import Counts, local_day, said_reason, status_of, takes_people
from services.shelter_beds.profile import UnitProfile
from services.shelter_beds.tables import Bed, Hold, Unit

AVAILABILITY: Final = "bed-availability"
HOLDS: Final = "bed-holds"
SOURCE: Final = "/shelter_beds"
_COUNTED: Final = frozenset({"version", "updated_at"})
# What a confidential unit shows: nothing by which it could be found.
_OF_A_CONFIDENTIAL_UNIT: Final = frozenset({"phone"})
# fmt: off
OF_ANY_UNIT: Final = frozenset({
    "opens_on", "closes_on", "minimum_age", "maximum_age", "gender_policy", "veterans_only", "couples", "accessible",
    "pets", "low_barrier", "eligibility", "phone", "area", "intake_from", "intake_until", "last_in", "bring",
})
# fmt: on


def rfc3339(instant: datetime) -> str:
    """Write an instant as the log does: UTC, to the microsecond."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def public(unit: Unit, profile: UnitProfile, counts: Counts, now: datetime) -> said.Unit:
    """Return what is public of a unit; pure.

    Where not all counts are shown, the time of a report, and of what is said, is known to the hour only, and nothing
    tells of a hold.
    """
    in_season = profile.open_season.holds(local_day(now, profile.zone))
    if not in_season:
        counts = Counts(0, counts.held, counts.occupied, counts.offline + counts.available)
    status = status_of(counts, in_season=in_season, said=profile.status)
    described = profile.model_dump(
        mode="json",
        include=set(_OF_A_CONFIDENTIAL_UNIT) if profile.confidential else set(OF_ANY_UNIT),
        exclude_none=True,
    )
    fields: dict[str, Any] = {
        "unit_id": unit.id,
        "organization": unit.organization,
        "organization_name": unit.organization_name,
        "name": unit.organization_name if profile.confidential else profile.name,
        "project": None if profile.confidential else unit.project,
        "project_type": None if profile.confidential else unit.project_type,
        "household_type": profile.household_type,
        "season": profile.season,
        "status": status,
        "shown": profile.shown,
        "confidential": profile.confidential,
        "hold_policy": profile.hold_policy,
        "maximum_hold_minutes": None if profile.hold_policy == "none" else profile.max_minutes,
        "time_zone": profile.time_zone,
        "withdrawn": unit.withdrawn,
        "test": unit.test,
        "version": unit.version,
        "updated_at": rfc3339(unit.updated_at),
        **described,
        **_numbers(unit, profile, counts, in_season=in_season),
    }
    return msgspec.convert(fields, said.Unit)


async def availability(
    session: AsyncSession, unit: Unit, profile: UnitProfile, beds: Sequence[Bed], now: datetime
) -> None:
    """Say what is public of a unit, if anything of it is new."""
    view = public(unit, profile, Counts.of(bed.status for bed in beds), now)
    new = {
        name: value for name, value in msgspec.json.decode(msgspec.json.encode(view)).items() if name not in _COUNTED
    }
    if new == unit.said:
        return
    moment = now if profile.shown == "counts" else _hour(now)
    unit.said, unit.version, unit.updated_at = new, unit.version + 1, moment
    view = replace(view, version=unit.version, updated_at=rfc3339(moment))
    event = said.UnitAvailability(**_context(moment), data=view)
    await outbox.put(session, topic=AVAILABILITY, key=unit.id.encode(), aggregate=unit.id, body=canonical.encode(event))


async def withdrawn(session: AsyncSession, last: said.Unit, now: datetime) -> None:
    """Say that a unit is no more, of which there are no rows but what was said last."""
    moment = now if last.shown == "counts" else _hour(now)
    view = replace(last, withdrawn=True, version=last.version + 1, updated_at=rfc3339(moment))
    event = said.UnitAvailability(**_context(moment), data=view)
    body = canonical.encode(event)
    await outbox.put(session, topic=AVAILABILITY, key=last.unit_id.encode(), aggregate=last.unit_id, body=body)


def last_said(unit: Unit) -> dict[str, Any]:
    """Return what was last said of a unit, as it stands on the log."""
    return {**(unit.said or {}), "version": unit.version, "updated_at": rfc3339(unit.updated_at)}


def shown_to_holders(unit: Unit) -> said.Unit:
    """Return what whoever holds a bed of a unit may know of it: what is public."""
    return msgspec.convert(last_said(unit), said.Unit)


async def hold(
    session: AsyncSession, kind: type[said.HoldEvent], row: Hold, beds: Sequence[Bed], now: datetime
) -> None:
    """Say a step of a hold: for each of its beds, or once for a request, which has none."""
    step = said.Hold(
        hold_id=row.id,
        unit_id=row.unit_id,
        organization=row.organization,
        holder=row.holder,
        expires_at=rfc3339(row.expires_at) if row.ended_at is None else None,
        reason=said_reason(row.reason),
        bed_ids=tuple(row.bed_ids),
        discreet=row.discreet,
    )
    if not row.bed_ids:
        await _put_step(session, row.unit_id, kind(**_context(now), data=replace(step, beds=row.beds)))
    for bed in beds:
        bed.last_order += 1
        of_bed = replace(step, bed_id=bed.id, order=bed.last_order)
        await _put_step(session, bed.id, kind(**_context(now), data=of_bed))


async def _put_step(session: AsyncSession, key: str, event: said.HoldEvent) -> None:
    await outbox.put(session, topic=HOLDS, key=key.encode(), aggregate=key, body=canonical.encode(event))


def _numbers(unit: Unit, profile: UnitProfile, counts: Counts, *, in_season: bool) -> dict[str, Any]:
    if profile.shown == "call":
        return {"status": profile.status or ("additional-assessment-required" if in_season else "no-capacity")}
    is_open = counts.available > 0 and takes_people(in_season=in_season, said=profile.status)
    shown: dict[str, Any] = {"open": is_open}
    reported = unit.reported_at
    if profile.shown == "counts":
        shown |= {
            "maximum": counts.maximum,
            "available": counts.available,
            "held": counts.held,
            "occupied": counts.occupied,
            "offline": counts.offline,
        }
    elif reported is not None:
        reported = _hour(reported)
    if reported is not None:
        due = reported + timedelta(minutes=profile.report_minutes)
        shown |= {"reported_at": rfc3339(reported), "report_due_by": rfc3339(due)}
    return shown


def _hour(instant: datetime) -> datetime:
    return instant.replace(minute=0, second=0, microsecond=0)


def _context(now: datetime) -> dict[str, Any]:
    return {"id": random_id(), "source": SOURCE, "time": rfc3339(now), "specversion": "1.0"}
