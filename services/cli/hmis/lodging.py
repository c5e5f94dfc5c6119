"""Plans the units that an export's bed inventory (HUD 2.07) stands for on a night, with their taken beds.

HUD's inventory counts what a project has for a year's report; it knows no rooms. One unit is made of each row.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date
from types import MappingProxyType
from typing import Final, TypeAlias

from schemas.beds import HouseholdType
from schemas.beds import Season as SeasonName
from schemas.codes import EmergencyShelterBedType, InventoryAvailability, InventoryHouseholdType, ProjectType
from services.cli.hmis.occupancy import LODGING, SHELTERS, Occupancy
from services.cli.hmis.openings import Community
from services.cli.hmis.plan import PlannedBeds, PlannedProject, PlannedUnit, safe_id
from services.cli.hmis.report import Report, What
from services.cli.hmis.rows import Inventory
from services.shelter_beds.bodies import MOST_BEDS

FILE: Final = "Inventory.csv"
LONGEST_NAME: Final = 60
HOUSEHOLD_TYPES: Final[Mapping[InventoryHouseholdType, HouseholdType]] = MappingProxyType(
    {
        InventoryHouseholdType.WITHOUT_CHILDREN: "without_children",
        InventoryHouseholdType.WITH_AT_LEAST_ONE_ADULT_AND_ONE_CHILD: "with_children",
        InventoryHouseholdType.WITH_ONLY_CHILDREN: "only_children",
    }
)
# Availability is asked of emergency shelters alone.
SEASONS: Final[Mapping[InventoryAvailability | None, SeasonName]] = MappingProxyType(
    {
        None: "year_round",
        InventoryAvailability.YEAR_ROUND: "year_round",
        InventoryAvailability.SEASONAL: "seasonal",
        InventoryAvailability.OVERFLOW: "overflow",
    }
)
WORDS: Final[Mapping[HouseholdType, str]] = MappingProxyType(
    {
        "without_children": "households without children",
        "with_children": "households with children",
        "only_children": "households with only children",
    }
)
_FILLED_FIRST: Final[tuple[SeasonName, ...]] = ("year_round", "seasonal", "overflow")

Refusal: TypeAlias = tuple[What, str]


class Lodging:
    """The bed inventory of an export, night by night."""

    def __init__(
        self, source: str, inventories: Iterable[Inventory], community: Community, occupancy: Occupancy
    ) -> None:
        self._source = source
        self._inventories = tuple(inventories)
        self._community = community
        self._occupancy = occupancy

    def on(self, night: date, report: Report) -> PlannedBeds:
        """Plan a night; every row that makes no unit has its reason in the report."""
        refusals = {row.line: self._refusal(row, night) for row in self._inventories}
        standing = [row for row in self._inventories if refusals[row.line] is None]
        refusals |= {row.line: self._unfit(row) for row in _latest(standing, refusals)}
        for row in self._inventories:
            if (refusal := refusals[row.line]) is not None:
                report.skip(FILE, row.line, *refusal)
        taken = [row for row in standing if refusals[row.line] is None]
        units = self._filled(taken, night, report)
        for row, unit in zip(taken, units, strict=True):
            why = f"one unit of {unit.beds} beds for {WORDS[unit.household_type]}, {unit.occupied} taken on {night}"
            report.note(FILE, row.line, "mapped", why)
        return PlannedBeds(night, tuple(units), tuple(self._gone(refusals, night)))

    def _refusal(self, row: Inventory, night: date) -> Refusal | None:
        """Say why a row says nothing about this night."""
        if row.project_id not in self._community.projects:
            return "unknown-reference", "ProjectID names no project that was taken"
        if row.deleted:
            return "deleted", "DateDeleted is set: the row is withdrawn"
        if row.start > night:
            return "not-in-force", f"it begins after the night that is taken, {night}"
        if not row.holds(night):
            return "not-in-force", f"it ended before the night that is taken, {night}"
        return None

    def _unfit(self, row: Inventory) -> Refusal | None:
        """Say why no unit can be made of a row that is in force."""
        project_type = self._project_type(row)
        if project_type not in LODGING:
            return "not-lodging", f"projects of type {project_type:d} have no beds for the night"
        if self._community.protected(row.project_id):
            return "confidential", "its place is not to be known: register the unit by hand, with its hotline"
        if row.bed_type is EmergencyShelterBedType.VOUCHER:
            return "voucher", "a voucher is no bed that anybody can hold (ESBedType 3)"
        if not 0 < row.beds <= MOST_BEDS:
            return "bed-number", f"BedInventory is {row.beds}; a unit has 1 to {MOST_BEDS} beds"
        if not self._occupancy.knows(project_type):
            return "nobody-counted", "the export does not say who slept where: all its beds would seem free"
        return None

    def _filled(self, rows: Iterable[Inventory], night: date, report: Report) -> list[PlannedUnit]:
        """Make the units, and give each as many of the night's people as it has beds: year-round units first."""
        units = [self._unit(row) for row in rows]
        project_ids = {self._community.projects[each][0].id: each for each in self._community.projects}
        left = self._occupancy.on(night)
        for unit in sorted(units, key=lambda unit: _FILLED_FIRST.index(unit.season)):
            people = project_ids[unit.project_id], unit.household_type
            occupied = min(left[people], unit.beds)
            left[people] -= occupied
            units[units.index(unit)] = replace(unit, occupied=occupied)
        for (project_id, household_type), number in sorted(left.items()):
            if number and not self._community.protected(project_id):
                kind = WORDS[household_type]
                why = f"project {project_id}: on {night} more people than beds for {kind}, by {number}"
                report.note(FILE, None, "more-people-than-beds", why)
        return units

    def _unit(self, row: Inventory) -> PlannedUnit:
        project, organization = self._community.projects[row.project_id]
        season, household_type = SEASONS[row.availability], HOUSEHOLD_TYPES[row.household_type]
        project_type = self._project_type(row)
        return PlannedUnit(
            external_id=self._external_id(row),
            organization_id=organization.id,
            project_id=project.id,
            name=_name(project, household_type, season),
            household_type=household_type,
            season=season,
            opens_on=None if season == "year_round" else row.start,
            closes_on=row.end,
            beds=row.beds,
            veterans_only=row.veteran_beds >= row.beds,
            night_by_night=project_type is ProjectType.EMERGENCY_SHELTER_NIGHT_BY_NIGHT,
            # An export does not say whether a shelter gives holds: it is asked. Housing is placed by referral.
            hold_policy="request" if project_type in SHELTERS else "none",
            occupied=0,
        )

    def _gone(self, refusals: Mapping[int, Refusal | None], night: date) -> Iterable[tuple[str, str]]:
        """Name the rows of which an earlier import may have made a unit that is no more."""
        for row in self._inventories:
            refusal = refusals[row.line]
            if refusal is not None and refusal[0] != "unknown-reference" and (row.deleted or row.start <= night):
                _, organization = self._community.projects[row.project_id]
                yield organization.id, self._external_id(row)

    def _project_type(self, row: Inventory) -> ProjectType:
        return ProjectType(self._community.projects[row.project_id][0].project_type)

    def _external_id(self, row: Inventory) -> str:
        return safe_id(self._source, row.id)


def _latest(standing: Iterable[Inventory], refusals: dict[int, Refusal | None]) -> list[Inventory]:
    """Return of rows of one kind that overlap the one that began last; the others are superseded.

    HUD wants an old row ended when a new one begins; a bed that is not there harms more than one that is not listed.
    """
    latest: dict[tuple[object, ...], Inventory] = {}
    for row in sorted(standing, key=lambda row: (row.start, row.line)):
        kind = row.project_id, row.coc, row.household_type, row.availability, row.bed_type
        if kind in latest:
            why = "a later row for the same project, CoC, household type, availability and bed type has taken its place"
            refusals[latest[kind].line] = "superseded", why
        latest[kind] = row
    return list(latest.values())


def _name(project: PlannedProject, household_type: HouseholdType, season: SeasonName) -> str:
    suffix = "" if season == "year_round" else f", {season}"
    return f"{project.name[:LONGEST_NAME]}, {WORDS[household_type]}{suffix}"
