"""Which units a reader of the feed hears of, by what it wants and what is public of them; pure."""

from typing import Annotated, Final

from pydantic import BeforeValidator, ConfigDict, Field

from schemas.beds import GenderPolicy, HouseholdType, Unit
from schemas.codes import ProjectType
from schemas.fields import ShortText
from services.kit.bodies import Body, Code

_ALIKE: Final = (
    "household_type", "project_type", "organization", "area", "accessible", "pets", "low_barrier", "couples",
    "veterans_only", "open", "unit_id",
)  # fmt: skip
_SHOWN_BY_ALL: Final = frozenset({"household_type", "organization", "open", "unit_id"})
# A unit for everyone, and one that asks, take whoever a narrower policy names.
_TAKES: Final[dict[GenderPolicy, frozenset[GenderPolicy]]] = {
    "everyone": frozenset({"everyone", "as_asked"}),
    "women": frozenset({"women", "women_and_children", "everyone", "as_asked"}),
    "men": frozenset({"men", "everyone", "as_asked"}),
    "women_and_children": frozenset({"women_and_children", "everyone", "as_asked"}),
    "as_asked": frozenset({"everyone", "as_asked"}),
}


def _number(value: object) -> object:
    """In a query a code of HUD is a text."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 4 else value


class Wish(Body):
    """What a unit must be, for each that is named: the same as its public value, or fit it (`age`, `gender`).

    `age` is between the unit's youngest and oldest, where it has them. `gender` is a unit's policy; units of that
    policy, of wider ones, and those that ask fit it. A value that a unit does not show fits none.
    """

    model_config = ConfigDict(frozen=True)

    household_type: HouseholdType | None = None
    project_type: Annotated[ProjectType | None, BeforeValidator(_number)] = None
    organization: Code | None = None
    area: ShortText | None = None
    accessible: bool | None = None
    pets: bool | None = None
    low_barrier: bool | None = None
    couples: bool | None = None
    veterans_only: bool | None = None
    open: bool | None = None
    unit_id: Code | None = None
    age: Annotated[int, Field(ge=0, le=120)] | None = None
    gender: GenderPolicy | None = None

    def fits(self, unit: Unit) -> bool:
        """Whether a unit is as wished for."""
        return self._alike(unit) and self._fits(unit)

    def _alike(self, unit: Unit) -> bool:
        wanted = {name: value for name in _ALIKE if (value := getattr(self, name)) is not None}
        if unit.confidential and not _SHOWN_BY_ALL.issuperset(wanted):
            return False
        return all(getattr(unit, name) == value for name, value in wanted.items())

    def _fits(self, unit: Unit) -> bool:
        if unit.confidential:
            return self.gender is None and self.age is None
        if self.gender is not None and unit.gender_policy not in _TAKES[self.gender]:
            return False
        if self.age is None:
            return True
        youngest, oldest = unit.minimum_age or 0, unit.maximum_age
        return youngest <= self.age and (oldest is None or self.age <= oldest)


class Filter(Wish):
    """What a reader is told of: the units that it wishes for, of tests or of real ones, which is not its choice."""

    test: bool = False

    def matches(self, unit: Unit | None) -> bool:
        """Whether a unit is wanted; None, one that is no more, never is."""
        return unit is not None and unit.test == self.test and self.fits(unit)


EVERYTHING: Final = Filter()
EVERYTHING_OF: Final = {False: EVERYTHING, True: Filter(test=True)}
"""All that there is for a reader, by whether it is a test."""
