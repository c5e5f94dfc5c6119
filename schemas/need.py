"""The need: what a de-identified referral carries, so only enums, small integers, a band and one date."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from schemas.fields import Closed, Day

Service = Literal["ES", "TH", "RRH", "PSH", "OPH", "SH", "SO", "HP", "CE", "SSO", "DAY"]
HouseholdType = Literal["without_children", "with_children", "only_children"]
HouseholdBand = Literal["1", "2", "3-4", "5-7", "8+"]
LARGEST_HOUSEHOLD = 99


def household_band(size: object) -> object:
    """Give the band of a household of `size` people (1 to 99); what is no integer is left for the field to judge."""
    if type(size) is not int:
        return size
    if not 1 <= size <= LARGEST_HOUSEHOLD:
        raise ValueError(f"must be a band or a number of people from 1 to {LARGEST_HOUSEHOLD}")
    return "8+" if size >= 8 else "5-7" if size >= 5 else "3-4" if size >= 3 else str(size)


class NeedDetails(Closed):
    """What is needed. An exact household size is taken and kept only as its band: it would point at a large family."""

    household_type: HouseholdType
    household_size: Annotated[
        HouseholdBand, BeforeValidator(household_band, json_schema_input_type=int | HouseholdBand)
    ]
    beds: Annotated[int, Field(ge=1, le=LARGEST_HOUSEHOLD)]
    accessible: bool | None = None
    pets: bool | None = None
    needed_on: Day | None = None


class Need(NeedDetails):
    """The sealed need: the details with the service that is asked for."""

    service: Service
