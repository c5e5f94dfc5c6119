"""What a unit's card shows of it now; pure. A unit is as it stands on the log, and no more is known here."""

from dataclasses import dataclass
from datetime import datetime, time
from typing import Final
from zoneinfo import ZoneInfo

from schemas.beds import Unit
from services.shelter_beds.board import times
from services.shelter_beds.board.language import Catalogue
from services.shelter_beds.feed.age import ReportAge, report_age

MINUTES: Final = (15, 30, 45, 60, 90, 120, 180, 240, 480, 720, 1440)
USUAL_MINUTES: Final = 60
_MOST: Final = 9999


@dataclass(frozen=True)
class Card:
    """A unit, at one moment. `state` is its status in a word; `reported`, `due` and `changes` are Unix times."""

    unit: Unit
    state: str
    sort: str
    zone: ZoneInfo
    reported: float | None
    due: float | None
    intake: times.Intake | None
    has_begun: bool
    age: ReportAge

    @property
    def changes(self) -> float | None:
        """When intake next opens or closes."""
        return self.intake.changes_at.timestamp() if self.intake and self.intake.changes_at else None

    @property
    def is_shut(self) -> bool:
        """Whether intake is closed now."""
        return self.intake is not None and self.intake.state == "closed"

    @property
    def can_be_held(self) -> bool:
        """Whether asking for a bed makes sense now."""
        return self.unit.hold_policy != "none" and self.state in {"free", "assessment_free"}


def card(unit: Unit, now: float) -> Card:
    """Make the card of a unit."""
    moment = datetime.fromtimestamp(now, ZoneInfo("UTC"))
    zone = ZoneInfo(unit.time_zone)
    due = _unix(unit.report_due_by)
    age = report_age(unit, moment)
    state = _state(unit)
    last = _clock(unit.last_in or unit.intake_until)
    door = None if times.always(unit) else times.intake(moment, zone, _clock(unit.intake_from), last)
    return Card(
        unit=unit,
        state=state,
        sort=_sort(unit, state, closed=door is not None and door.state == "closed", stale=age.state != "fresh"),
        zone=zone,
        reported=_unix(unit.reported_at),
        due=due,
        intake=door,
        has_begun=unit.opens_on is None or unit.opens_on <= moment.astimezone(zone).date().isoformat(),
        age=age,
    )


def cards(units: list[Unit], now: float) -> list[Card]:
    """Make the cards of units: what is open and lets people in, then what was reported in time, then most room."""
    return sorted((card(unit, now) for unit in units), key=lambda each: each.sort)


def headline(words: Catalogue, found: Card) -> str:
    """Say what a unit has, in a few words: what a summary of changes names."""
    if found.unit.available is not None and found.state != "waitlist":
        return words("said.count", count=found.unit.available, name=found.unit.name)
    return words("said.state", name=found.unit.name, state=words(f"state.{found.state}"))


def zone_of(units: list[Unit]) -> ZoneInfo:
    """Return the time zone that most units have: that of a page about all of them."""
    names = [unit.time_zone for unit in units]
    return ZoneInfo(max(sorted(set(names)), key=names.count, default="UTC"))


def minutes_for(longest: int) -> tuple[list[int], int]:
    """Return for how long a hold may be asked for, and what is usual."""
    choices = sorted({each for each in MINUTES if each < longest} | {longest})
    return choices, min(USUAL_MINUTES, longest)


def _state(unit: Unit) -> str:
    if unit.shown == "call":
        return "call"
    if unit.status == "waitlist":
        return "waitlist"
    if unit.status == "additional-assessment-required":
        return "assessment_free" if unit.open else "assessment"
    return "free" if unit.open else "full"


_PLACES: Final = ("free", "assessment_free", "call", "assessment", "waitlist", "full")


def _sort(unit: Unit, state: str, *, closed: bool, stale: bool) -> str:
    room = _MOST - (unit.available or 0)
    return f"{_PLACES.index(state)}{int(closed)}{int(stale)}{room:04}{unit.name.casefold()}{unit.unit_id}"


def _unix(written: str | None) -> float | None:
    return datetime.fromisoformat(written).timestamp() if written else None


def _clock(written: str | None) -> time | None:
    return time.fromisoformat(written) if written else None
