"""Beds, holds and times of units; pure: it takes the time and returns what to do."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal, Protocol
from zoneinfo import ZoneInfo

from schemas.beds import CapacityStatus, ReleaseReason

BedStatus = Literal["free", "held", "occupied", "offline"]
HoldState = Literal["requested", "placed", "checked_in", "released", "expired"]
EndReason = Literal[
    "cancelled",
    "refused",
    "referral_declined",
    "referral_cancelled",
    "referral_expired",
    "referral_entered_in_error",
]

LIVE: Final[frozenset[HoldState]] = frozenset({"requested", "placed"})
DAY: Final = timedelta(days=1)


@dataclass(frozen=True)
class Counts:
    """How many of a unit's beds are in each status."""

    available: int = 0
    held: int = 0
    occupied: int = 0
    offline: int = 0

    @property
    def maximum(self) -> int:
        """All of them."""
        return self.available + self.held + self.occupied + self.offline

    @classmethod
    def of(cls, statuses: Iterable[BedStatus]) -> "Counts":
        """Count beds."""
        each = list(statuses)
        return cls(each.count("free"), each.count("held"), each.count("occupied"), each.count("offline"))


@dataclass(frozen=True)
class Season:
    """When a unit is open at all: from `opens_on` on, until before `closes_on`, by its own calendar."""

    opens_on: date | None = None
    closes_on: date | None = None

    def holds(self, day: date) -> bool:
        """Whether the unit is open on a day."""
        begun = self.opens_on is None or self.opens_on <= day
        return begun and (self.closes_on is None or day < self.closes_on)


@dataclass(frozen=True)
class Census:
    """A number that a shelter counted at `as_of`: of beds that are empty or that are taken.

    `includes_holds`: beds on hold are among those counted.
    """

    as_of: datetime
    includes_holds: bool
    available: int | None = None
    occupied: int | None = None


class HeldSince(Protocol):
    """As much of a hold as a census must know."""

    bed_ids: list[str]
    state: HoldState
    placed_at: datetime | None


def status_of(counts: Counts, *, in_season: bool, said: CapacityStatus | None) -> CapacityStatus:
    """Return a unit's capacity status: what its shelter said of it, else what its beds say. Closed is no capacity."""
    if not in_season:
        return "no-capacity"
    if said is not None:
        return said
    return "capacity" if counts.available else "no-capacity"


def takes_people(*, in_season: bool, said: CapacityStatus | None) -> bool:
    """Whether somebody can come at all, whatever the beds say."""
    return in_season and said not in {"no-capacity", "waitlist"}


def said_reason(reason: EndReason | None) -> ReleaseReason | None:
    """Return why a hold ended, as anybody but its holder may know: nothing of what became of a referral."""
    if reason is None:
        return None
    return "refused" if reason == "refused" else "cancelled"


def free_by(census: Census, in_service: int, holds: Sequence[HeldSince]) -> int:
    """Return how many beds are free now by a count that was taken a while ago; below 0 when holds exceed it.

    `in_service` are the beds that are not offline; `holds` those that live or ended after `as_of`. What was placed,
    checked in or let go since then moves the number by what the count cannot have known. A request has no beds.
    """
    if census.available is not None:
        counted, holds_are_free = census.available, census.includes_holds
    else:
        counted, holds_are_free = in_service - (census.occupied or 0), not census.includes_holds
    moved = 0
    for hold in holds:
        if hold.placed_at is None:
            continue
        counted_as_free = holds_are_free or hold.placed_at > census.as_of
        is_free_now = hold.state in {"released", "expired"}
        moved += (int(is_free_now) - int(counted_as_free)) * len(hold.bed_ids)
    return counted + moved


def next_wake(
    now: datetime, zone: ZoneInfo, season: Season, resets_at: time | None, last_reset: datetime
) -> datetime | None:
    """Return when a unit next changes by itself: at its hour, or with its season. None: never."""
    local = now.astimezone(zone)
    wakes = [_midnight(day, zone) for day in (season.opens_on, season.closes_on) if day and day > local.date()]
    if resets_at is not None:
        wakes.append(next_reset(last_reset, zone, resets_at))
    return min(wakes, default=None)


def next_reset(after: datetime, zone: ZoneInfo, resets_at: time) -> datetime:
    """Return the first time after `after` that a unit's clock shows `resets_at`.

    Where the clock skips that time, it is as much later as the clock skips; where it shows it twice, the first.
    """
    day = after.astimezone(zone).date()
    while (moment := moment_on(day, resets_at, zone)) <= after:
        day += DAY
    return moment


def last_reset(after: datetime, now: datetime, zone: ZoneInfo, resets_at: time) -> datetime | None:
    """Return the last time after `after`, and not after `now`, that a unit's clock showed `resets_at`."""
    struck: datetime | None = None
    while (moment := next_reset(struck or after, zone, resets_at)) <= now:
        struck = moment
    return struck


def local_day(now: datetime, zone: ZoneInfo) -> date:
    """Return the day that it is at a unit."""
    return now.astimezone(zone).date()


def moment_on(day: date, clock: time, zone: ZoneInfo) -> datetime:
    """Return when a clock of a zone shows a time on a day."""
    return datetime.combine(day, clock, zone).astimezone(UTC)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return moment_on(day, time(), zone)
