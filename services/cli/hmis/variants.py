"""Writes seeded variants of an export folder, for tests and for load: what a real export may hold and a sample lacks.

Rows that are made up get names and Social Security numbers that are made up too (area numbers 9xx were never issued).
"""

import csv
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Final

from schemas.codes import CoordinatedEntryEvent, ProjectType
from services.cli.hmis.inventory_variants import Record, with_faults
from services.cli.hmis.openings import OPENINGS

_SYLLABLES: Final = ("ba", "ce", "di", "fo", "gu", "ha", "ki", "lo", "mu", "na", "pe", "ri", "so", "tu", "va", "zo")
# The files about people that grow with the number of clients, each with the columns that a copy gets anew.
_GROWING: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "Client.csv": ("PersonalID",),
        "Enrollment.csv": ("PersonalID", "EnrollmentID", "HouseholdID"),
        "Exit.csv": ("PersonalID", "EnrollmentID", "ExitID"),
        "HealthAndDV.csv": ("PersonalID", "EnrollmentID", "HealthAndDVID"),
        "Event.csv": ("PersonalID", "EnrollmentID", "EventID"),
    }
)


@dataclass(frozen=True, slots=True)
class Variant:
    """What a variant has that its source has not; the same seed writes the same bytes.

    `locations`: each opening names a project of another organization. `victim_service_provider`: an organization that
    refers to openings becomes one, with a comparable database. `household_members`: so many more people in the
    household of each opening. `deleted`: so many withdrawn rows in each of Client, Enrollment and Event.
    `clients`: exactly so many people, copied from the source's. `inventory`: faults of INVENTORY_FAULTS, each in a row
    of its own.
    """

    seed: int = 0
    locations: bool = False
    victim_service_provider: bool = False
    household_members: int = 0
    deleted: int = 0
    clients: int | None = None
    inventory: tuple[str, ...] = ()


@dataclass(slots=True)
class _Folder:
    """The source's files in memory; only what grows with `clients` is streamed."""

    records: dict[str, list[Record]]
    columns: dict[str, list[str]] = field(default_factory=dict)


def write_variant(source: Path, target: Path, variant: Variant) -> None:
    """Write a variant of the export in `source` to the new folder `target`."""
    folder = _read(source)
    for step in (_add_household_members, _add_locations, _make_victim_service_provider):
        step(folder, variant)
    inventory = folder.records["Inventory.csv"]
    folder.records["Inventory.csv"] = with_faults(inventory, variant.inventory, _chance(variant, "inventory"))
    target.mkdir(parents=True)
    for name, records in folder.records.items():
        grown = _grown(name, records, folder, variant)
        _write(target / name, folder.columns[name], _with_deletions(name, grown, records, variant))


def _read(source: Path) -> _Folder:
    folder = _Folder({})
    for path in sorted(source.glob("*.csv")):
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            folder.records[path.name] = list(reader)
            folder.columns[path.name] = list(reader.fieldnames or ())
    return folder


def _write(path: Path, columns: list[str], records: Iterable[Record]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(records)


def _chance(variant: Variant, *about: str) -> random.Random:
    return random.Random("/".join((str(variant.seed), *about)))  # noqa: S311 - reproducible, and nothing is secret here


def _openings(folder: _Folder) -> Iterator[tuple[Record, Record]]:
    """Yield each event that refers to an opening, with its enrollment."""
    enrollments = {record["EnrollmentID"]: record for record in folder.records["Enrollment.csv"]}
    for event in folder.records["Event.csv"]:
        if CoordinatedEntryEvent(int(event["Event"])) in OPENINGS:
            yield event, enrollments[event["EnrollmentID"]]


def _organization_of(folder: _Folder) -> dict[str, str]:
    return {record["ProjectID"]: record["OrganizationID"] for record in folder.records["Project.csv"]}


def _add_locations(folder: _Folder, variant: Variant) -> None:
    if not variant.locations:
        return
    organization_of = _organization_of(folder)
    for event, enrollment in _openings(folder):
        types = OPENINGS[CoordinatedEntryEvent(int(event["Event"]))].project_types
        elsewhere = [
            project["ProjectID"]
            for project in folder.records["Project.csv"]
            if ProjectType(int(project["ProjectType"])) in types
            and project["OrganizationID"] != organization_of[enrollment["ProjectID"]]
        ]
        if elsewhere:
            event["LocationCrisisOrPHHousing"] = _chance(variant, "location", event["EventID"]).choice(elsewhere)


def _make_victim_service_provider(folder: _Folder, variant: Variant) -> None:
    if not variant.victim_service_provider:
        return
    organization_of = _organization_of(folder)
    referring = sorted({organization_of[enrollment["ProjectID"]] for _, enrollment in _openings(folder)})
    chosen = _chance(variant, "provider").choice(referring)
    for organization in folder.records["Organization.csv"]:
        if organization["OrganizationID"] == chosen:
            organization["VictimServiceProvider"] = "1"
    for participation in folder.records["HMISParticipation.csv"]:
        if organization_of[participation["ProjectID"]] == chosen:
            participation["HMISParticipationType"] = "2"


def _add_household_members(folder: _Folder, variant: Variant) -> None:
    clients = {record["PersonalID"]: record for record in folder.records["Client.csv"]}
    referred = {enrollment["EnrollmentID"]: enrollment for _, enrollment in _openings(folder)}
    for enrollment in referred.values():
        for number in range(1, variant.household_members + 1):
            id_ = f"{enrollment['PersonalID']}m{number}"
            child = number > 1  # the first is the partner
            birth = f"{2012 if child else 1990}-0{number % 9 + 1}-15"
            member = clients[enrollment["PersonalID"]] | _invented(variant, id_) | {"PersonalID": id_, "DOB": birth}
            folder.records["Client.csv"].append(member)
            ids = {"PersonalID": id_, "EnrollmentID": f"{enrollment['EnrollmentID']}m{number}"}
            folder.records["Enrollment.csv"].append(enrollment | ids | {"RelationshipToHoH": "2" if child else "3"})


def _invented(variant: Variant, id_: str) -> Record:
    chance = _chance(variant, "person", id_)
    first, last = ("".join(chance.choices(_SYLLABLES, k=3)).capitalize() for _ in range(2))
    return {
        "FirstName": first,
        "MiddleName": "",
        "LastName": last,
        "NameSuffix": "",
        "NameDataQuality": "1",
        "SSN": f"9{chance.randrange(10**8):08}",
        "SSNDataQuality": "1",
    }


def _grown(name: str, records: list[Record], folder: _Folder, variant: Variant) -> Iterable[Record]:
    """Give the rows of as many clients as the variant has: those of the source, then copies of them under new ids."""
    if variant.clients is None or "PersonalID" not in folder.columns[name]:
        return records
    order = {client["PersonalID"]: place for place, client in enumerate(folder.records["Client.csv"])}
    if name not in _GROWING:
        return (record for record in records if order[record["PersonalID"]] < variant.clients)
    return _copies(name, records, order, variant)


def _copies(name: str, records: list[Record], order: Mapping[str, int], variant: Variant) -> Iterator[Record]:
    wanted = variant.clients or 0
    for copy in count():
        if copy * len(order) >= wanted:
            return
        for record in records:
            if copy * len(order) + order[record["PersonalID"]] < wanted:
                yield _copied(name, record, copy, variant) if copy else record


def _copied(name: str, record: Record, copy: int, variant: Variant) -> Record:
    new = record | {column: f"{record[column]}c{copy}" for column in _GROWING[name]}
    return new | _invented(variant, new["PersonalID"]) if name == "Client.csv" else new


def _with_deletions(name: str, records: Iterable[Record], source: list[Record], variant: Variant) -> Iterable[Record]:
    if not variant.deleted or name not in ("Client.csv", "Enrollment.csv", "Event.csv"):
        return records
    size = min(variant.deleted, len(source))
    places = set(_chance(variant, "deleted", name).sample(range(len(source)), size))
    return (
        record | {"DateDeleted": "2022-10-01 08:00:00"} if place in places else record
        for place, record in enumerate(records)
    )
