"""How long ago, how long still, and when a door closes; pure. `static/ticking.js` says the same without the server."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

from schemas.beds import Unit
from services.shelter_beds.board.language import Catalogue
from services.shelter_beds.feed.age import GRACE
from services.shelter_beds.model import local_day, moment_on

MINUTE: Final = 60
HOUR: Final = 3600
DAY: Final = 24 * HOUR
IN_MINUTES_BELOW: Final = 90 * MINUTE
IN_HOURS_BELOW: Final = 48 * HOUR


@dataclass(frozen=True)
class Intake:
    """Whether a unit lets people in now, and when that next changes, if that is known."""

    state: Literal["open", "closed"]
    changes_at: datetime | None


def duration(words: Catalogue, seconds: float) -> str:
    """Say a length of time in its largest fitting unit."""
    if seconds < IN_MINUTES_BELOW:
        return words("duration.minutes", count=int(max(seconds, 0) // MINUTE))
    if seconds < IN_HOURS_BELOW:
        return words("duration.hours", count=int(seconds // HOUR))
    return words("duration.days", count=int(seconds // DAY))


def report(words: Catalogue, reported: float, due: float, now: float) -> str:
    """Say how old a report is, and how long it is overdue, if it is (Unix times)."""
    age = duration(words, now - reported)
    if now < due:
        return words("report.just_now") if now - reported < MINUTE else words("report.fresh", duration=age)
    if now < due + (due - reported) * GRACE:
        return words("report.due", duration=age)
    return words("report.overdue", duration=age, overdue=duration(words, now - due))


def door(words: Catalogue, state: str, changes: float, now: float) -> str:
    """Say when a unit's intake closes or opens (Unix times)."""
    return words("intake.closes" if state == "open" else "intake.opens", duration=duration(words, changes - now))


def expiry(words: Catalogue, expires: float, now: float) -> str:
    """Say how long a hold still lasts (Unix times)."""
    if expires <= now:
        return words("hold.over")
    return words("hold.left", duration=countdown(expires - now))


def countdown(seconds: float) -> str:
    """Write a time that runs down: minutes and seconds, with hours if it has any."""
    left = int(seconds)
    hours, minutes = left // HOUR, left % HOUR // MINUTE
    return f"{hours}:{minutes:02}:{left % MINUTE:02}" if hours else f"{minutes}:{left % MINUTE:02}"


def day(words: Catalogue, written: str) -> str:
    """Say a day without its year."""
    found = date.fromisoformat(written)
    return words("day", month=words(f"month.{found.month}"), day=found.day)


def always(unit: Unit) -> bool:
    """Whether a unit lets people in day and night."""
    return unit.intake_from == "00:00" and unit.intake_until == "23:59" and unit.last_in is None


def clock(moment: datetime, zone: ZoneInfo) -> str:
    """Write a time of day at a place."""
    return moment.astimezone(zone).strftime("%H:%M")


def intake(now: datetime, zone: ZoneInfo, opens: time | None, closes: time | None) -> Intake | None:
    """Return whether a unit with these hours of intake lets people in; None where it names none.

    Hours may go past midnight. A unit that says only until when lets people in from midnight on, one that says only
    from when, until midnight.
    """
    if opens is None and closes is None:
        return None
    today = local_day(now, zone)
    start, end = opens or time(), closes or time()
    for day in (today - timedelta(days=1), today, today + timedelta(days=1)):
        begun = moment_on(day, start, zone)
        ended = moment_on(day if end > start else day + timedelta(days=1), end, zone)
        if now < begun:
            return Intake("closed", begun if opens else None)
        if now < ended:
            return Intake("open", ended if closes else None)
    return None
