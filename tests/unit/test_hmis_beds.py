"""An export's beds: which rows of its inventory become units, of how many beds, and how many people slept in them."""

import csv
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from schemas.codes import (
    EmergencyShelterBedType,
    InventoryAvailability,
    InventoryHouseholdType,
    ProjectType,
)
from services.cli.hmis.beds import Clock
from services.cli.hmis.inventory_variants import INVENTORY_FAULTS
from services.cli.hmis.mapping import plan_import
from services.cli.hmis.plan import Plan, PlannedBeds, PlannedUnit
from services.cli.hmis.report import Report
from services.cli.hmis.rows import BedNight, Client, Enrollment, Exit, Export, Inventory
from services.cli.hmis.variants import Variant
from tests.support.hmis import SAMPLE, planned, variant
from tests.support.small_export import EXPORT

NIGHT = date(2026, 3, 1)
ADULTS = Inventory(
    line=2,
    id="i1",
    project_id="p-two-a",
    coc="XX-501",
    household_type=InventoryHouseholdType.WITHOUT_CHILDREN,
    availability=InventoryAvailability.YEAR_ROUND,
    bed_type=EmergencyShelterBedType.FACILITY_BASED,
    beds=4,
    veteran_beds=0,
    start=date(2025, 1, 1),
    end=None,
)
FAMILIES = replace(ADULTS, line=3, id="i2", household_type=InventoryHouseholdType.WITH_AT_LEAST_ONE_ADULT_AND_ONE_CHILD)
SLEEPER = replace(EXPORT.enrollments[0], id="e9", project_id="p-two-a", household_id="h9")


def beds(
    inventories: Iterable[Inventory],
    enrollments: Iterable[Enrollment] = (SLEEPER,),
    exits: Iterable[Exit] = (),
    bed_nights: Iterable[BedNight] = (),
    export: Export = EXPORT,
) -> tuple[PlannedBeds, Report]:
    """Plan the beds of a small community."""
    report = Report()
    report.rows["Inventory.csv"] = 10
    whole = replace(
        export,
        events=[],
        inventories=list(inventories),
        enrollments=list(enrollments),
        exits=list(exits),
        bed_nights=list(bed_nights),
    )
    plan = plan_import(whole, report, NIGHT)
    assert plan.beds is not None
    return plan.beds, report


def whats(report: Report) -> list[str]:
    return [each for each in whats_of_rows(report).elements() if each != "mapped"]


def whats_of_rows(report: Report) -> Counter[str]:
    return Counter(each.what for each in report.findings if each.file == "Inventory.csv" and each.line is not None)


def one(inventory: Inventory) -> PlannedUnit:
    found, _ = beds([inventory])
    [unit] = found.units
    return unit


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (InventoryHouseholdType.WITHOUT_CHILDREN, "without_children"),
        (InventoryHouseholdType.WITH_AT_LEAST_ONE_ADULT_AND_ONE_CHILD, "with_children"),
        (InventoryHouseholdType.WITH_ONLY_CHILDREN, "only_children"),
    ],
)
def test_household_types_are_hud_s(code: InventoryHouseholdType, name: str) -> None:
    assert one(replace(ADULTS, household_type=code)).household_type == name


@pytest.mark.parametrize(
    ("code", "season", "opens_on"),
    [
        (None, "year_round", None),
        (InventoryAvailability.YEAR_ROUND, "year_round", None),
        (InventoryAvailability.SEASONAL, "seasonal", date(2025, 1, 1)),
        (InventoryAvailability.OVERFLOW, "overflow", date(2025, 1, 1)),
    ],
)
def test_availability_is_a_season_with_its_days(
    code: InventoryAvailability | None, season: str, opens_on: date | None
) -> None:
    unit = one(replace(ADULTS, availability=code, end=date(2026, 4, 1)))
    assert (unit.season, unit.opens_on, unit.closes_on) == (season, opens_on, date(2026, 4, 1))


@pytest.mark.parametrize(
    ("start", "end", "in_force"),
    [
        (NIGHT, None, True),
        (date(2026, 3, 2), None, False),
        (date(2025, 1, 1), NIGHT, False),  # the end date is the day after the last night
        (date(2025, 1, 1), date(2026, 3, 2), True),
        (NIGHT, NIGHT, False),
    ],
)
def test_a_row_is_in_force_from_its_start_until_before_its_end(start: date, end: date | None, in_force: bool) -> None:
    found, report = beds([replace(ADULTS, start=start, end=end)])
    assert (len(found.units), whats(report).count("not-in-force")) == ((1, 0) if in_force else (0, 1))


def test_a_unit_all_of_whose_beds_are_for_veterans_is_theirs() -> None:
    assert one(replace(ADULTS, veteran_beds=4)).veterans_only
    assert not one(replace(ADULTS, veteran_beds=3)).veterans_only


@pytest.mark.parametrize(
    ("row", "what"),
    [
        (replace(ADULTS, bed_type=EmergencyShelterBedType.VOUCHER), "voucher"),
        (replace(ADULTS, beds=0), "bed-number"),
        (replace(ADULTS, beds=501), "bed-number"),
        (replace(ADULTS, deleted=True), "deleted"),
        (replace(ADULTS, project_id="p-out"), "not-lodging"),
        (replace(ADULTS, project_id="p-vsp"), "confidential"),
        (replace(ADULTS, project_id="nobody"), "unknown-reference"),
        (replace(ADULTS, project_id="p-she"), "nobody-counted"),  # night by night, and no bed night is recorded
    ],
)
def test_a_row_without_a_unit_says_why(row: Inventory, what: str) -> None:
    found, report = beds([row])
    assert (found.units, whats(report)) == ((), [what])
    assert report.skipped["Inventory.csv"] == 1


def test_of_rows_of_one_kind_that_overlap_the_later_counts() -> None:
    later = replace(ADULTS, line=4, id="i3", beds=6, start=date(2025, 6, 1))
    overflow = replace(ADULTS, line=5, id="i4", availability=InventoryAvailability.OVERFLOW)
    found, report = beds([ADULTS, FAMILIES, later, overflow])
    assert [unit.external_id for unit in found.units] == ["hmis1-i2", "hmis1-i3", "hmis1-i4"]
    assert whats(report) == ["superseded"]
    assert found.gone == (("hmis1-two", "hmis1-i1"),)
    closed, _ = beds([ADULTS, replace(later, beds=0)])
    assert closed.units == ()  # a later row may also say that there are no beds any more


def test_what_is_no_more_is_named_and_what_is_not_yet_is_not() -> None:
    ended, deleted = replace(ADULTS, end=NIGHT), replace(FAMILIES, deleted=True)
    future = replace(ADULTS, line=4, id="i3", start=date(2026, 3, 2))
    found, _ = beds([ended, deleted, future])
    assert found.gone == (("hmis1-two", "hmis1-i1"), ("hmis1-two", "hmis1-i2"))


def test_people_are_counted_by_entry_and_exit() -> None:
    def occupied(entry: date, exited: date | None) -> int:
        exits = [Exit(2, "e9", exited)] if exited else []
        found, _ = beds([ADULTS], [replace(SLEEPER, entry=entry)], exits)
        return found.units[0].occupied

    assert occupied(NIGHT, None) == 1
    assert occupied(date(2026, 3, 2), None) == 0
    assert occupied(date(2026, 1, 1), NIGHT) == 0  # gone that day: the bed is free that night
    assert occupied(date(2026, 1, 1), date(2026, 3, 2)) == 1


def test_permanent_housing_is_lived_in_from_the_day_of_moving_in() -> None:
    projects = [replace(each, project_type=ProjectType.RAPID_REHOUSING) for each in EXPORT.projects]
    export = replace(EXPORT, projects=projects)

    def occupied(**history: str) -> int:
        enrollment = replace(SLEEPER, segments={"housing_history": history} if history else {})
        found, _ = beds([ADULTS], [enrollment], export=export)
        return found.units[0].occupied

    assert [occupied(), occupied(move_in_date="2026-03-02"), occupied(move_in_date="2026-03-01")] == [0, 0, 1]


def test_night_by_night_counts_what_was_recorded_of_the_night() -> None:
    row, guest = replace(ADULTS, project_id="p-she"), replace(SLEEPER, project_id="p-she")
    nights = [BedNight("e9", NIGHT), BedNight("e9", NIGHT), BedNight("e9", date(2026, 2, 28)), BedNight("no", NIGHT)]
    found, _ = beds([row], [guest], bed_nights=nights)
    assert (found.units[0].occupied, found.units[0].night_by_night) == (1, True)
    found, _ = beds([row], [guest], bed_nights=nights[2:])
    assert found.units[0].occupied == 0


def test_more_people_than_beds_fill_year_round_beds_first_and_are_told() -> None:
    overflow = replace(ADULTS, line=4, id="i3", availability=InventoryAvailability.OVERFLOW, beds=1)
    people = [replace(SLEEPER, id=f"e{n}", client_id=f"c{n}", household_id=f"h{n}") for n in range(10, 17)]
    clients = [Client(2, person.client_id, {"identity": {"dob": "1990-05-05"}}) for person in people]
    found, report = beds([overflow, ADULTS], people, export=replace(EXPORT, clients=clients))
    assert {unit.external_id: unit.occupied for unit in found.units} == {"hmis1-i3": 1, "hmis1-i1": 4}
    [told] = [each.why for each in report.findings if each.what == "more-people-than-beds"]
    assert told.endswith("more people than beds for households without children, by 2")


@pytest.fixture(scope="module")
def sample() -> tuple[Plan, Report]:
    return planned(SAMPLE)


def test_the_sample_has_eight_units_and_each_other_row_has_its_reason(sample: tuple[Plan, Report]) -> None:
    plan, report = sample
    assert plan.beds is not None
    assert (plan.beds.night, len(plan.beds.units)) == (date(2022, 9, 30), 8)
    assert (report.rows["Inventory.csv"], report.taken("Inventory.csv")) == (49, 8)
    assert whats_of_rows(report) == {"not-in-force": 40, "bed-number": 1, "mapped": 8}


@pytest.mark.parametrize(
    ("fault", "what", "units"),
    [
        ("overlap", "superseded", 8),
        ("ended", "not-in-force", 7),
        ("future", "not-in-force", 7),
        ("deleted", "deleted", 7),
        ("zero-beds", "bed-number", 7),
        ("too-many-beds", "bed-number", 7),
        ("voucher", "voucher", 7),
        ("household-type-bad", "bad-code", 7),
        ("start-bad", "bad-date", 7),
        ("end-bad", "bad-date", 7),
        ("veterans", "mapped", 8),
    ],
)
def test_each_fault_of_an_inventory_is_a_line_of_the_report(
    fault: str, what: str, units: int, tmp_path: Path, sample: tuple[Plan, Report]
) -> None:
    plan, report = planned(variant(tmp_path / "export", Variant(seed=5, inventory=(fault,))))
    assert plan.beds is not None
    assert len(plan.beds.units) == units
    assert any(unit.veterans_only for unit in plan.beds.units) == (fault == "veterans")
    _, before = sample
    assert whats_of_rows(report)[what] > whats_of_rows(before)[what] or fault == "veterans"


def test_every_fault_of_an_inventory_at_once_leaves_what_is_well(tmp_path: Path) -> None:
    faults = tuple(INVENTORY_FAULTS)[:8]
    plan, report = planned(variant(tmp_path / "export", Variant(seed=5, inventory=faults)))
    assert plan.beds is not None
    assert [unit.external_id[-1] for unit in plan.beds.units] == ["o"]  # of the overlap the later
    assert {"superseded", "deleted", "voucher", "bad-code"} <= {each.what for each in report.findings}
    with (tmp_path / "export" / "Inventory.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 50


def test_a_night_is_told_as_of_its_end_and_never_as_of_the_future() -> None:
    clock = Clock(ZoneInfo("America/Chicago"), datetime(2026, 3, 2, 3, tzinfo=UTC))  # there it is still the first
    assert clock.as_of(PlannedBeds(date(2026, 2, 27))) == "2026-02-28T00:00:00-06:00"
    assert clock.as_of(PlannedBeds(NIGHT)) == "2026-03-01T00:00:00-06:00"
