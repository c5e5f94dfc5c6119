"""The units as they were last said on the log, which is all that other systems are shown, and words for their codes."""

from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from schemas.beds import Bring, CapacityStatus, GenderPolicy, HouseholdType, Unit
from services.kit.auth import Principal
from services.shelter_beds import saying, store
from services.shelter_beds.model import Season, local_day

HOUSEHOLDS: Final[dict[HouseholdType, str]] = {
    "without_children": "households without children",
    "with_children": "households with at least one adult and one child",
    "only_children": "households with only children",
}
GENDERS: Final[dict[GenderPolicy, str | None]] = {
    "everyone": None,
    "women": "Women",
    "men": "Men",
    "women_and_children": "Women and children",
    "as_asked": "Gender policy: ask the shelter",
}
STATUSES: Final[dict[CapacityStatus, str | None]] = {
    "capacity": None,
    "no-capacity": "No capacity now",
    "waitlist": "Waiting list",
    "additional-assessment-required": "An additional assessment is required: call",
}
TO_BRING: Final[dict[Bring, str]] = {
    "photo_id": "Photo identification",
    "income_proof": "Proof of income",
    "medication": "Medication",
    "bedding": "Bedding",
    "tb_test": "Tuberculosis test result",
    "referral_letter": "Referral letter",
}
# HUD HMIS, ProjectType.
PROJECT_TYPES: Final = {
    0: "Emergency shelter",
    1: "Emergency shelter, night by night",
    2: "Transitional housing",
    3: "Permanent supportive housing",
    8: "Safe haven",
    9: "Permanent housing, housing only",
    10: "Permanent housing with services",
    13: "Rapid re-housing",
}


async def all_said(session: AsyncSession, caller: Principal) -> list[Unit]:
    """Return all units that there are for a caller, as they stand on the log, by organization and name.

    All at once: a community has some hundreds of them, and pages by number are cut from one order.
    """
    rows = await session.scalars(store.said_units(caller))
    units = [msgspec.convert(saying.last_said(row), Unit) for row in rows]
    return sorted(units, key=lambda unit: (unit.organization_name, unit.organization, unit.name, unit.unit_id))


def is_in_season(unit: Unit, now: datetime) -> bool:
    """Tell whether a unit is open at all; where its season is not shown, it is."""
    season = Season(_day(unit.opens_on), _day(unit.closes_on))
    return season.holds(local_day(now, ZoneInfo(unit.time_zone)))


def kind(unit: Unit) -> str:
    """Say what a unit is, in words; of a confidential one no more than that it has beds."""
    return PROJECT_TYPES.get(unit.project_type, "Beds") if unit.project_type is not None else "Beds"


def eligibility(unit: Unit) -> str | None:
    """Say who may come, in words, as far as it is shown; None for everybody."""
    veterans = "Veterans" if unit.veterans_only else None
    said = [each for each in (GENDERS[unit.gender_policy], veterans, unit.eligibility) if each]
    return "; ".join(said) or None


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)
