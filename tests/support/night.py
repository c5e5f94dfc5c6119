"""One night's units for pages to show: synthetic shelters in every state that there is."""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.support.board import Board, moment
from tests.support.shelter import OTHER, OUTREACH, SHELTER

HOUR = 3600
CHICAGO = {"time_zone": "America/Chicago"}
OPEN_ALL_NIGHT = {"intake_from": "00:00", "intake_until": "23:59"}
NIGHT: tuple[tuple[str, int, int, float, dict[str, Any]], ...] = (
    # name, beds, free, hours since the report, what is said of it
    (
        "Harbor Rooms", 20, 7, 0.4,
        {"area": "Downtown", "phone": "+1 312 555 0110", "minimum_age": 18, "accessible": True, "low_barrier": True,
         "couples": True, "intake_from": "17:00", "last_in": "soon",
         "bring": ["medication", "photo_id"]},
    ),
    (
        "St. Brigid Family House", 12, 3, 1.2,
        {"household_type": "with_children", "area": "Near North", "phone": "+1 312 555 0121", "accessible": True,
         "intake_from": "00:00", "intake_until": "23:59", "bring": ["photo_id"], "hold_policy": "request",
         "max_minutes": 120},
    ),
    (
        "Lantern Youth Loft", 8, 2, 0.1,
        {"household_type": "only_children", "area": "Pilsen", "phone": "+1 312 555 0133", "minimum_age": 14,
         "maximum_age": 17, "gender_policy": "as_asked", "low_barrier": True},
    ),
    (
        "Prairie Women's Shelter", 24, 5, 14.5,
        {"gender_policy": "women", "area": "Garfield Park", "phone": "+1 312 555 0144", "minimum_age": 18,
         "intake_from": "16:00", "intake_until": "20:00", "last_in": "21:00", "bring": ["bedding"]},
    ),
    (
        "Veterans Landing", 10, 2, 3.0,
        {"veterans_only": True, "area": "Bronzeville", "phone": "+1 312 555 0155", "accessible": True, "pets": True,
         "minimum_age": 18},
    ),
    (
        "Winter Overflow, Union Hall", 40, 18, 0.7,
        {"season": "overflow", "opens_on": "2026-11-01", "closes_on": "2027-03-31", "area": "West Loop",
         "phone": "+1 312 555 0166", "low_barrier": True, "pets": True, "couples": True, **OPEN_ALL_NIGHT},
    ),
    (
        "Calumet Men's Dormitory", 30, 0, 0.9,
        {"gender_policy": "men", "area": "South Chicago", "phone": "+1 312 555 0177", "minimum_age": 18},
    ),
    ("Grace Street Annex", 16, 4, 2.2, {"status": "waitlist", "area": "Uptown", "phone": "+1 312 555 0188"}),
    (
        "Bridge Recovery Beds", 6, 2, 5.0,
        {"status": "additional-assessment-required", "area": "Avondale", "phone": "+1 312 555 0190",
         "eligibility": "A nurse talks with each person first, day and night."},
    ),
    (
        "Safe Passage", 9, 2, 1.0,
        {"household_type": "with_children", "confidential": True, "shown": "yes_no", "phone": "+1 800 555 0101",
         "hold_policy": "request", "gender_policy": "women_and_children"},
    ),
    (
        "Cedar Cottage", 4, 1, 1.0,
        {"shown": "call", "hold_policy": "none", "area": "Hyde Park", "phone": "+1 312 555 0112"},
    ),
    (
        "Our Lady of the Lakes Transitional Residence for Parents and Their Children, Second Floor", 14, 0, 30.0,
        {"household_type": "with_children", "area": "Rogers Park", "phone": "+1 312 555 0123", "accessible": True},
    ),
)  # fmt: skip


async def told(board: Board, more: int = 0) -> dict[str, str]:
    """Register the night's units and say how many beds are free; `more` plain ones beside. Returns ids by name."""
    units = {}
    plain: list[tuple[str, int, int, float, dict[str, Any]]] = [
        (f"Northside Beds {number}", 10, number % 4, 0.5, {}) for number in range(more)
    ]
    for name, beds, free, hours, said in (*NIGHT, *plain):
        unit = await board.shelter.unit(beds, SHELTER, name=name, **CHICAGO | _timed(said))
        units[name] = unit
        answer = await board.shelter.census(SHELTER, unit, available=free, as_of=moment(-5))
        assert answer.status_code == 200, answer.text
        at = moment(-hours * HOUR)
        board.shelter.sql("UPDATE units SET reported_at = %s, census_as_of = %s WHERE id = %s", at, at, unit)
        # A change that says nothing new of the beds makes the service say the report's age as it is now.
        assert (await board.shelter.patch(SHELTER, f"/units/{unit}", report_minutes=720)).status_code == 200
    return units


def _timed(said: dict[str, Any]) -> dict[str, Any]:
    """The door of one unit closes soon, whenever it is."""
    if said.get("last_in") != "soon":
        return said
    soon = datetime.now(ZoneInfo(CHICAGO["time_zone"])) + timedelta(minutes=40)
    early = soon - timedelta(hours=5)
    return said | {"intake_from": early.strftime("%H:%M"), "last_in": soon.strftime("%H:%M")}


async def asked_and_held(board: Board, unit: str, family: str) -> None:
    """Let others hold and ask for beds; one request of three has its yes."""
    await board.shelter.hold(unit, OTHER, beds=2, minutes=45)
    placed = await board.shelter.hold(family, OTHER, beds=2, minutes=60)
    await board.shelter.hold(family, OTHER, beds=2, minutes=60)
    await board.shelter.hold(family, OUTREACH, beds=1, minutes=60)
    await board.shelter.answer(placed, accept=True)
