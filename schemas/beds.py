"""What is said of beds: how many there are, and who holds which. Never a client, nor a referral.

Nothing here is a caller's text about a person: a unit's own words describe the unit.
"""

from typing import Annotated, Literal

from msgspec import Meta

from schemas.events import Closed, Count, Identifier, StaffText, Timestamp

HouseholdType = Literal["without_children", "with_children", "only_children"]
"""HUD 2.07.4."""
Season = Literal["year_round", "seasonal", "overflow"]
"""HUD 2.07.5, there called Availability."""
CapacityStatus = Literal["capacity", "no-capacity", "waitlist", "additional-assessment-required"]
GenderPolicy = Literal["everyone", "women", "men", "women_and_children", "as_asked"]
"""The shelter's own policy; who counts as what is by gender identity (24 CFR 5.106)."""
Bring = Literal["photo_id", "income_proof", "medication", "bedding", "tb_test", "referral_letter"]
HoldPolicy = Literal["instant", "request", "none"]
Shown = Literal["counts", "yes_no", "call"]
"""How much of its numbers a unit shows: all, whether there is room, or a phone number only."""
ReleaseReason = Literal["cancelled", "refused"]
"""By its holder, for whatever reason, or by its shelter."""

Clock = Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]\Z")]
Day = Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")]
Age = Annotated[int, Meta(ge=0, le=120)]
Words = Annotated[str, Meta(min_length=1, max_length=300)]


class Unit(Closed, frozen=True):
    """What is public of a unit, in absolute values; times of day are the unit's own, of `time_zone`.

    `maximum` is available + held + occupied + offline. The counts are absent where the unit does not show them, `open`
    too where it asks to be called. A confidential unit has neither project nor area, and its organization's name for
    its own. `version` counts what was said of the unit. `withdrawn`: it is no more; nothing further will be said of it.
    `test`: it is a test organization's, and shown to tests alone.
    """

    unit_id: Identifier
    organization: Identifier
    organization_name: StaffText
    name: StaffText
    household_type: HouseholdType
    season: Season
    status: CapacityStatus
    shown: Shown
    hold_policy: HoldPolicy
    version: Count
    updated_at: Timestamp
    time_zone: Identifier
    project: Identifier | None = None
    project_type: Count | None = None
    open: bool | None = None
    maximum: Count | None = None
    available: Count | None = None
    held: Count | None = None
    occupied: Count | None = None
    offline: Count | None = None
    reported_at: Timestamp | None = None
    report_due_by: Timestamp | None = None
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
    eligibility: Words | None = None
    phone: StaffText | None = None
    area: StaffText | None = None
    intake_from: Clock | None = None
    intake_until: Clock | None = None
    last_in: Clock | None = None
    bring: tuple[Bring, ...] = ()
    maximum_hold_minutes: Count | None = None
    withdrawn: bool = False
    test: bool = False


class Hold(Closed, frozen=True):
    """What happened to one bed of a hold, or to a hold that has no bed: a request that its shelter has not said yes to.

    `order` goes up by one with each record of the bed, from 1. `organization` is the shelter's, `holder` whose hold it
    is; `expires_at` is when it ends by itself, while it lives. `bed_ids` are all beds of the hold, this one too:
    whoever tells of a step once, and not for each bed, needs no other record for it. A request's steps have neither
    `bed_id` nor `order` nor `bed_ids`, but how many `beds` it asks for. `discreet`: the unit does not show its counts,
    so its holder is not told which beds it has.
    """

    hold_id: Identifier
    unit_id: Identifier
    organization: Identifier
    holder: Identifier
    bed_id: Identifier | None = None
    order: Count | None = None
    beds: Count | None = None
    expires_at: Timestamp | None = None
    reason: ReleaseReason | None = None
    bed_ids: tuple[Identifier, ...] = ()
    discreet: bool = False


class BedEvent(Closed, tag_field="type", frozen=True):
    """CloudEvents 1.0 context of what is said of beds."""

    id: Identifier
    source: Identifier
    time: Timestamp
    specversion: Literal["1.0"]


class UnitAvailability(BedEvent, tag="unit.availability", frozen=True):
    """All that is public of a unit now; it takes the place of whatever was said of the unit before."""

    data: Unit


class HoldEvent(BedEvent, frozen=True):
    """A step in a hold's life, for one of its beds; of a request that has none, for itself."""

    data: Hold


class HoldRequested(HoldEvent, tag="hold.requested", frozen=True):
    """The shelter is asked. No bed is taken: several may ask for the same one."""


class HoldPlaced(HoldEvent, tag="hold.placed", frozen=True):
    """The bed is held: at once, or since the shelter said yes."""


class HoldExtended(HoldEvent, tag="hold.extended", frozen=True):
    """The hold ends later."""


class HoldReleased(HoldEvent, tag="hold.released", frozen=True):
    """The bed is free again, since somebody said so; of a request, it is taken back or refused."""


class HoldExpired(HoldEvent, tag="hold.expired", frozen=True):
    """The bed is free again, since the hold's time was over; of a request, nobody answered it in time."""


class HoldCheckedIn(HoldEvent, tag="hold.checked_in", frozen=True):
    """Who the bed was held for is there: it is no longer held, but taken."""


HoldEvents = HoldRequested | HoldPlaced | HoldExtended | HoldReleased | HoldExpired | HoldCheckedIn
