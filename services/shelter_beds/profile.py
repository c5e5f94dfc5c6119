"""What a shelter says of a unit: the description that its API takes, its tables keep and the feed shows in part."""

from datetime import time
from functools import cache
from typing import Annotated, Final, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, Field, StringConstraints, field_serializer, model_validator

from schemas.beds import Bring, CapacityStatus, GenderPolicy, HoldPolicy, HouseholdType, Shown
from schemas.beds import Season as SeasonName
from schemas.fields import Day, Phone, ShortText
from services.kit.bodies import Body, Code
from services.kit.problems import refusal
from services.shelter_beds.model import Season

LONGEST_HOLD_MINUTES: Final = 24 * 60
DEFAULT_HOLD_MINUTES: Final = 60
DEFAULT_REPORT_MINUTES: Final = 12 * 60


_zones: Final = cache(available_timezones)  # it walks through folders each time


def _zone(name: str) -> str:
    if name not in _zones():
        raise refusal("must be the name of a time zone, such as America/Chicago")
    return name


def _minute(value: time) -> time:
    if value.second or value.microsecond or value.tzinfo:
        raise refusal("must be a time of day as HH:MM")
    return value


ZoneName = Annotated[str, StringConstraints(max_length=64), AfterValidator(_zone)]
Clock = Annotated[time, AfterValidator(_minute)]
Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]
Minutes = Annotated[int, Field(ge=1, le=LONGEST_HOLD_MINUTES)]
Age = Annotated[int, Field(ge=0, le=120)]


class Described(Body):
    """What a shelter may say of a unit; its texts describe the unit, and never a person.

    Times of day and days are the unit's own, of `time_zone`. `opens_on` and `closes_on` bound a season: it is open from
    the one until before the other. `resets_at` is for night-by-night units: then every bed that is not held is free
    again. `report_minutes` is how often the shelter says how many beds there are. `status` overrides what the beds say.
    `shown` is how much of its numbers a unit shows: a small one may show but yes or no, or a phone number alone.
    `external_id` is what the shelter's own system calls the unit, for those at its desk alone.
    `delegates` are organizations that may act at its desk. `max_minutes` and `max_open_holds` bound what one
    organization may hold.
    """

    season: SeasonName = "year_round"
    opens_on: Day | None = None
    closes_on: Day | None = None
    minimum_age: Age | None = None
    maximum_age: Age | None = None
    gender_policy: GenderPolicy = "everyone"
    veterans_only: bool = False
    couples: bool = False
    accessible: bool = False
    pets: bool = False
    low_barrier: bool = False
    confidential: bool = False
    shown: Shown = "counts"
    status: CapacityStatus | None = None
    eligibility: Words | None = None
    phone: Phone | None = None
    area: ShortText | None = None
    intake_from: Clock | None = None
    intake_until: Clock | None = None
    last_in: Clock | None = None
    bring: Annotated[tuple[Bring, ...], Field(max_length=6)] = ()
    time_zone: ZoneName = "UTC"
    resets_at: Clock | None = None
    report_minutes: Annotated[int, Field(ge=15, le=7 * 24 * 60)] = DEFAULT_REPORT_MINUTES
    hold_policy: HoldPolicy = "instant"
    max_minutes: Minutes = DEFAULT_HOLD_MINUTES
    max_open_holds: Annotated[int, Field(ge=1, le=100)] = 3
    external_id: Code | None = None
    delegates: Annotated[tuple[Code, ...], Field(max_length=20)] = ()

    @field_serializer("intake_from", "intake_until", "last_in", "resets_at")
    def _clock(self, value: time | None) -> str | None:
        return None if value is None else value.strftime("%H:%M")


class UnitProfile(Described):
    """A unit's whole description, which fits together."""

    name: ShortText
    household_type: HouseholdType

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.opens_on and self.closes_on and self.closes_on <= self.opens_on:
            raise refusal("closes_on must be after opens_on")
        if self.minimum_age is not None and self.maximum_age is not None and self.maximum_age < self.minimum_age:
            raise refusal("maximum_age must not be below minimum_age")
        if self.confidential and self.shown == "counts":
            raise refusal("shown must be yes_no or call for a confidential unit")
        if self.shown != "counts" and self.hold_policy == "instant":
            raise refusal("hold_policy must be request or none where counts are not shown: holds would count the beds")
        if self.shown == "call" and self.hold_policy != "none":
            raise refusal("hold_policy must be none where shown is call: a hold would tell whether there is room")
        return self

    @property
    def is_reachable(self) -> bool:
        """Whether there is a phone number where it is the only way in. A unit hidden by itself may have had none."""
        return self.phone is not None or not (self.confidential or self.shown == "call")

    def hidden(self) -> Self:
        """Return the same of a confidential unit, that shows and gives no more than such a one may."""
        narrowed = {
            "confidential": True,
            "shown": "yes_no" if self.shown == "counts" else self.shown,
            "hold_policy": "request" if self.hold_policy == "instant" else self.hold_policy,
        }
        return type(self).model_validate(self.model_dump(mode="json") | narrowed)

    @property
    def zone(self) -> ZoneInfo:
        """The unit's time zone."""
        return ZoneInfo(self.time_zone)

    @property
    def open_season(self) -> Season:
        """When it is open at all."""
        return Season(self.opens_on, self.closes_on)
