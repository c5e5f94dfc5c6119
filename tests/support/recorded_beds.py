"""What an export says of beds on a night, computed from its CSV files alone and with nothing of the importer."""

import csv
from collections import Counter
from datetime import date
from pathlib import Path

ADULTS, FAMILIES, CHILDREN = "without_children", "with_children", "only_children"
NIGHT_BY_NIGHT, HOUSING = "1", {"3", "9", "10", "13"}
LODGING = {"0", NIGHT_BY_NIGHT, "2", "8"} | HOUSING
SEASONS = {"": 0, "1": 0, "2": 1, "3": 2}
Expected = dict[str, tuple[int, int]]


def expected(folder: Path, source: str, night: str) -> Expected:
    """The units of a night by external id: (beds, taken)."""
    types = {row["ProjectID"]: row["ProjectType"] for row in _rows(folder, "Project")}
    left = slept(folder, types, night)
    found: Expected = {}
    standing = [
        row
        for row in _rows(folder, "Inventory")
        if not row["DateDeleted"]
        and row["InventoryStartDate"] <= night < (row["InventoryEndDate"] or "9999")
        and types[row["ProjectID"]] in LODGING
        and row["BedInventory"] != "0"
    ]
    for row in sorted(standing, key=lambda row: SEASONS[row["Availability"]]):
        kind = {"1": ADULTS, "3": FAMILIES, "4": CHILDREN}[row["HouseholdType"]]
        beds = int(row["BedInventory"])
        taken = min(beds, left[row["ProjectID"], kind])
        left[row["ProjectID"], kind] -= taken
        found[f"{source}-{row['InventoryID']}"] = beds, taken
    return found


def slept(folder: Path, types: dict[str, str], night: str) -> Counter[tuple[str, str]]:
    """How many people slept in each project, by the type of their household."""
    clients = {row["PersonalID"]: row for row in _rows(folder, "Client")}
    exits = {row["EnrollmentID"]: row["ExitDate"] for row in _rows(folder, "Exit")}
    nights = {
        row["EnrollmentID"]
        for row in _rows(folder, "Services")
        if (row["RecordType"], row["DateProvided"]) == ("200", night)
    }
    enrollments = _rows(folder, "Enrollment")
    counted: dict[tuple[str, str], str] = {}
    for row in enrollments:
        project_type, exit_day = types[row["ProjectID"]], exits.get(row["EnrollmentID"], "9999")
        if project_type == NIGHT_BY_NIGHT:
            there = row["EnrollmentID"] in nights
        else:
            moved_in = project_type not in HOUSING or "" < row["MoveInDate"] <= night
            there = project_type in LODGING and row["EntryDate"] <= night < exit_day and moved_in
        if there:
            household = [
                other
                for other in enrollments
                if (other["ProjectID"], other["HouseholdID"]) == (row["ProjectID"], row["HouseholdID"])
                and (other is row or other["EntryDate"] <= night <= exits.get(other["EnrollmentID"], "9999"))
            ]
            counted[row["ProjectID"], row["PersonalID"]] = _kind(household, clients, night)
    return Counter((project, kind) for (project, _), kind in counted.items())


def _kind(household: list[dict[str, str]], clients: dict[str, dict[str, str]], night: str) -> str:
    minors = [_is_minor(row, clients[row["PersonalID"]]["DOB"], night) for row in household]
    if all(minors):
        return CHILDREN
    return FAMILIES if any(minors) else ADULTS


def _is_minor(row: dict[str, str], born: str, night: str) -> bool:
    if not born:
        return row["RelationshipToHoH"] == "2"
    birth, day = date.fromisoformat(born), date.fromisoformat(night)
    return day.year - birth.year - ((day.month, day.day) < (birth.month, birth.day)) < 18


def _rows(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / f"{name}.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))
