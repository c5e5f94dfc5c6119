"""What a navigator looks for, as it stands in a page's address; pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, get_args
from urllib.parse import urlencode

from pydantic import ValidationError

from schemas.beds import HouseholdType, Unit
from services.shelter_beds.feed.filters import Wish

FLAGS: Final = ("open", "accessible", "pets", "couples", "low_barrier", "veterans_only")
HOUSEHOLD_TYPES: Final[tuple[str, ...]] = get_args(HouseholdType)
CHIPS: Final = (
    ("open", "true"),
    *(("household_type", each) for each in HOUSEHOLD_TYPES),
    *((name, "true") for name in FLAGS[1:]),
)
"""What one press chooses: a name and its value."""
MOST_BEDS: Final = 20


@dataclass(frozen=True)
class Wanted:
    """What is looked for: what an address says that can be understood, and nothing else."""

    asked: Mapping[str, str]

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> "Wanted":
        """Read an address; a form sends fields that nobody filled in, too."""
        return cls(
            {
                name: value
                for name in (*Wish.model_fields, "beds")
                if (value := parameters.get(name, "").strip()) and _is_understood(name, value)
            }
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
        kept = {name: value for name, value in {**self.asked, **changes}.items() if value is not None}
        return f"?{urlencode(kept)}" if kept else "?"

    @property
    def wish(self) -> Wish:
        """What of it the feed can look for: all but how many beds there must be."""
        return Wish.model_validate({name: value for name, value in self.asked.items() if name in Wish.model_fields})

    @property
    def feed(self) -> str:
        """The query of the feed that tells of the same units, and of those with too few beds."""
        return urlencode({name: value for name, value in self.asked.items() if name in Wish.model_fields})

    def of_units(self, units: Iterable[Unit]) -> list[Unit]:
        """Return those of some units that are looked for; what a unit does not show it has not."""
        wish, least = self.wish, self.beds if "beds" in self.asked else 0
        return [unit for unit in units if wish.fits(unit) and (unit.available is None or unit.available >= least)]


def areas(units: Iterable[Unit]) -> list[str]:
    """Return the areas there are."""
    return sorted({unit.area for unit in units if unit.area})


def _is_understood(name: str, value: str) -> bool:
    if name == "beds":
        return value.isascii() and value.isdigit() and len(value) < 3 and 1 <= int(value) <= MOST_BEDS
    try:
        Wish.model_validate({name: value})
    except ValidationError:
        return False
    return True
