"""What a navigator looks for, as it stands in a page's address; pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, get_args
from urllib.parse import urlencode

from schemas.beds import GenderPolicy, HouseholdType, Unit

FLAGS: Final = ("open", "accessible", "pets", "couples", "low_barrier", "veterans_only")
HOUSEHOLD_TYPES: Final[tuple[str, ...]] = get_args(HouseholdType)
CHIPS: Final = (
    ("open", "true"),
    *(("household_type", each) for each in HOUSEHOLD_TYPES),
    *((name, "true") for name in FLAGS[1:]),
)
"""What one press chooses: a name and its value."""
WELCOMING: Final[Mapping[str, frozenset[GenderPolicy]]] = {
    "women": frozenset({"everyone", "as_asked", "women", "women_and_children"}),
    "men": frozenset({"everyone", "as_asked", "men"}),
}
"""Which shelters' policies take whom."""
OLDEST: Final = 120
MOST_BEDS: Final = 20
LONGEST_AREA: Final = 200


@dataclass(frozen=True)
class Wanted:
    """What is looked for: what an address says that can be understood, and nothing else."""

    asked: Mapping[str, str]

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> "Wanted":
        """Read an address; a form sends fields that nobody filled in, too."""
        return cls(
            {name: value for name in _CHECKS if (value := parameters.get(name, "").strip()) and _ok(name, value)}
        )

    @property
    def beds(self) -> int:
        """How many beds at once."""
        return int(self.asked.get("beds", "1"))

    @property
    def for_hold(self) -> str:
        """The query of a hold's page: how many beds were looked for."""
        return f"?beds={self.beds}" if "beds" in self.asked else ""

    def address(self, **changes: str | None) -> str:
        """Return the query of the same wish but for some changes; None takes a wish away."""
        kept = {name: value for name, value in ({**self.asked, **changes}).items() if value is not None}
        return f"?{urlencode(kept)}" if kept else "?"

    def matches(self, unit: Unit) -> bool:
        """Whether a unit is what is looked for; what a unit does not say of itself it has not."""
        asked = self.asked
        return (
            all(getattr(unit, name) is True for name in FLAGS if asked.get(name) == "true")
            and asked.get("household_type", unit.household_type) == unit.household_type
            and asked.get("area", unit.area) == unit.area
            and ("gender" not in asked or unit.gender_policy in WELCOMING[asked["gender"]])
            and ("age" not in asked or _takes(unit, int(asked["age"])))
            and ("beds" not in asked or unit.available is None or unit.available >= self.beds)
        )


def areas(units: Iterable[Unit]) -> list[str]:
    """Return the areas there are."""
    return sorted({unit.area for unit in units if unit.area})


def _takes(unit: Unit, age: int) -> bool:
    youngest, oldest = unit.minimum_age or 0, OLDEST if unit.maximum_age is None else unit.maximum_age
    return youngest <= age <= oldest


def _number(text: str, least: int, most: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 4 and least <= int(text) <= most


_CHECKS: Final[Mapping[str, Callable[[str], bool]]] = {
    **dict.fromkeys(FLAGS, "true".__eq__),
    "household_type": lambda value: value in HOUSEHOLD_TYPES,
    "gender": lambda value: value in WELCOMING,
    "age": lambda value: _number(value, 0, OLDEST),
    "area": lambda value: len(value) <= LONGEST_AREA,
    "beds": lambda value: _number(value, 1, MOST_BEDS),
}


def _ok(name: str, value: str) -> bool:
    return _CHECKS[name](value)
