"""What the API of shelter_beds takes and answers."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

from fastapi.exceptions import RequestValidationError
from pydantic import (
    AfterValidator,
    AwareDatetime,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from schemas.beds import (
    HouseholdType,
)
from schemas.codes import ProjectType
from schemas.fields import ShortText
from services.kit.bodies import Body, Code, Writing
from services.kit.problems import refusal
from services.shelter_beds.door_codes import heard
from services.shelter_beds.model import BedStatus, EndReason, HoldState
from services.shelter_beds.profile import Described, Minutes, UnitProfile

MOST_BEDS: Final = 500
MOST_BEDS_OF_A_HOLD: Final = 20


def _code(value: str) -> str:
    code = heard(value)
    if code is None:
        raise refusal("must be a door code, such as BLUE-42")
    return code


DoorCode = Annotated[str, StringConstraints(min_length=1, max_length=32), AfterValidator(_code)]
BedNumber = Annotated[int, Field(ge=1, le=MOST_BEDS)]


class NewUnit(UnitProfile, Writing):
    """A unit to register, with so many beds, for a project of the caller's organization.

    `project_type` must be the project's, if it is given. `occupied` of the beds are taken. `as_of` is when this was
    true, if it is not from now: what another system recorded is as old as it was there. `organization` is for the
    administrator, who registers the units of a shelter without a system of its own.
    """

    project: Code
    project_type: ProjectType | None = None
    beds: BedNumber
    occupied: Annotated[int, Field(ge=0, le=MOST_BEDS)] = 0
    as_of: AwareDatetime | None = None
    organization: Code | None = None


class UnitChange(Described, Writing):
    """What is to change of a unit: what is named, and nothing else. `withdrawn`: it is no more, for good.

    Fewer beds are taken from those that are free or offline.
    """

    name: ShortText | None = None
    household_type: HouseholdType | None = None
    beds: BedNumber | None = None
    withdrawn: Literal[True] | None = None

    def applied_to(self, profile: dict[str, Any]) -> UnitProfile:
        """Return the profile with what was named changed; RequestValidationError where that does not fit together."""
        changes = self.model_dump(mode="json", exclude_unset=True, exclude={"actor", "beds", "withdrawn"})
        try:
            return UnitProfile.model_validate(profile | changes)
        except ValidationError as error:
            raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in error.errors()]) from None


class BedChange(Writing):
    """A bed's new status; one that is held is changed by its hold alone. `reason` is why it is offline."""

    status: Literal["free", "occupied", "offline"]
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)] | None = None

    @model_validator(mode="after")
    def _reason_of_offline(self) -> Self:
        if (self.status == "offline") != (self.reason is not None):
            raise refusal("reason must be given for an offline bed, and for no other")
        return self


class NewCensus(Writing):
    """What a shelter counted: either its empty beds or its taken ones.

    `includes_holds`: beds on hold are among them.
    """

    available: Annotated[int, Field(ge=0, le=MOST_BEDS)] | None = None
    occupied: Annotated[int, Field(ge=0, le=MOST_BEDS)] | None = None
    as_of: AwareDatetime
    includes_holds: bool = False

    @model_validator(mode="after")
    def _one_number(self) -> Self:
        if (self.available is None) == (self.occupied is None):
            raise refusal("exactly one of available and occupied must be given")
        return self


class NewHold(Writing):
    """Beds to hold at a unit.

    `referral_id` is of a referral of the caller's to the unit's organization, if there is one: when that is declined,
    cancelled or expires, the hold ends too.
    """

    unit_id: Code
    beds: Annotated[int, Field(ge=1, le=MOST_BEDS_OF_A_HOLD)] = 1
    minutes: Minutes
    referral_id: Code | None = None


class HoldChange(Writing):
    """What is to change of a live hold: for which of its holder's referrals it is, said once."""

    referral_id: Code


class HoldAnswer(Writing):
    """What the shelter says to a hold that was asked for."""

    accept: bool


class CheckIn(Writing):
    """Who the hold is for is at the door, and says this code."""

    door_code: DoorCode


class BedView(Body):
    """A bed, as its shelter sees it."""

    id: str
    label: str
    status: BedStatus
    offline_reason: str | None
    hold_id: str | None


class UnitView(Body):
    """A unit, as its shelter and its delegates see it."""

    id: str
    organization: str
    organization_name: str
    project: str
    project_type: ProjectType
    profile: UnitProfile
    test: Annotated[bool, Field(description="A test organization's: to real ones there is no such unit")]
    withdrawn: bool
    version: int
    available: int
    held: int
    occupied: int
    offline: int
    maximum: int
    reported_at: datetime | None
    updated_at: datetime
    beds: list[BedView]


class CensusView(Body):
    """What a census made of the unit; `overcommitted` is by how many beds the holds exceed what was counted as free."""

    unit_id: str
    available: int
    held: int
    occupied: int
    offline: int
    maximum: int
    overcommitted: int
    as_of: datetime


class HoldView(Body):
    """A hold, as its holder and its shelter see it. While its state is `requested` the shelter has not answered.

    `beds` is how many it has; of a request, which has none, how many it asks for. Which ones, `bed_ids`, is not told to
    the holder at a unit that shows no counts. Why a referral ended is a `reason` for its holder alone.
    """

    id: str
    unit_id: str
    organization: str
    holder: str
    state: HoldState
    door_code: str
    beds: int
    bed_ids: list[str]
    minutes: int
    extended: bool
    referral_id: Annotated[str | None, Field(description="Shown to its holder alone")] = None
    reason: EndReason | None
    created_at: datetime
    expires_at: datetime
    ended_at: datetime | None


class ChangeView(Body):
    """Who changed what of a unit, and when; nobody: it changed by itself."""

    at: datetime
    organization: str | None
    api_client: str | None
    actor: dict[str, str] | None
    what: str
    details: dict[str, object]
