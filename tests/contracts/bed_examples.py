"""Makes the example of each type said of beds: `python -m tests.contracts.bed_examples` writes them into schemas."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import schemas
from policy import canonical
from schemas import beds
from tests.contracts.event_examples import pretty

FOLDER: Final = Path(schemas.__file__).parent / "examples" / "beds"
_AT: Final = datetime(2026, 11, 26, 2, 0, tzinfo=UTC)


def made() -> dict[str, bytes]:
    """Each type's example, as it would stand on its topic."""
    return {str(type(event).__struct_config__.tag): canonical.encode(event) for event in _events()}


def unit(**changes: Any) -> beds.Unit:
    """A unit that says all that one can say."""
    said: dict[str, Any] = {
        "unit_id": "harbor-family",
        "organization": "harbor-shelter",
        "organization_name": "Harbor Shelter",
        "name": "Harbor Family Rooms",
        "household_type": "with_children",
        "season": "seasonal",
        "status": "capacity",
        "shown": "counts",
        "hold_policy": "instant",
        "maximum_hold_minutes": 90,
        "version": 7,
        "updated_at": _time(0),
        "time_zone": "America/Chicago",
        "project": "harbor-beds",
        "project_type": 0,
        "open": True,
        "maximum": 12,
        "available": 3,
        "held": 2,
        "occupied": 6,
        "offline": 1,
        "reported_at": _time(-40),
        "report_due_by": _time(680),
        "opens_on": "2026-11-01",
        "closes_on": "2027-04-01",
        "minimum_age": 0,
        "maximum_age": 120,
        "gender_policy": "everyone",
        "couples": True,
        "accessible": True,
        "pets": True,
        "low_barrier": True,
        "eligibility": "Families with a child under 18",
        "phone": "+1 555 0100",
        "area": "Riverside",
        "intake_from": "16:00",
        "intake_until": "21:00",
        "last_in": "23:00",
        "bring": ("photo_id", "medication"),
    }
    return beds.Unit(**said | changes)


def _events() -> Iterator[beds.BedEvent]:
    yield beds.UnitAvailability(**_context(0), data=unit())
    yield beds.HoldRequested(**_context(1), data=_hold(1, beds=1, expires_at=_time(91)))
    yield beds.HoldPlaced(**_context(2), data=_hold(1, **_of_bed(1), expires_at=_time(92)))
    yield beds.HoldExtended(**_context(3), data=_hold(1, **_of_bed(2), expires_at=_time(93)))
    yield beds.HoldReleased(**_context(4), data=_hold(1, **_of_bed(3), reason="cancelled"))
    yield beds.HoldExpired(**_context(5), data=_hold(2, **_of_bed(5)))
    yield beds.HoldCheckedIn(**_context(6), data=_hold(3, **_of_bed(7)))


def _hold(number: int, **more: Any) -> beds.Hold:
    return beds.Hold(
        hold_id=f"hold-{number}",
        unit_id="harbor-family",
        organization="harbor-shelter",
        holder="street-outreach",
        **more,
    )


def _of_bed(order: int) -> dict[str, Any]:
    return {"bed_id": "harbor-family-3", "order": order, "bed_ids": ("harbor-family-3",)}


def _context(number: int) -> dict[str, Any]:
    return {"id": f"example-{number:02d}", "source": "/shelter_beds", "time": _time(number), "specversion": "1.0"}


def _time(minutes: int) -> str:
    return (_AT + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


if __name__ == "__main__":
    for name, value in made().items():
        (FOLDER / f"{name}.json").write_text(pretty(value), encoding="utf-8")
