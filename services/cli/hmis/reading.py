"""Reads an HMIS CSV export (HUD FY2026) into typed rows; whatever is malformed is in the report, nothing is raised."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from schemas.codes import (
    CoordinatedEntryEvent,
    EmergencyShelterBedType,
    HmisParticipationType,
    InventoryAvailability,
    InventoryHouseholdType,
    NoYes,
    ProjectType,
    ReferralResult,
    RelationshipToHeadOfHousehold,
)
from services.cli.hmis.report import Report
from services.cli.hmis.rows import (
    BedNight,
    Client,
    Enrollment,
    Event,
    Exit,
    Export,
    HealthAndDv,
    Inventory,
    Organization,
    Participation,
    Project,
    Source,
)
from services.cli.hmis.segments import (
    CLIENT_COLUMNS,
    ENROLLMENT_COLUMNS,
    HEALTH_AND_DV_COLUMNS,
    add_living_situation,
    columns_of,
    segments_of,
)
from services.cli.hmis.tables import Cells, Table, UnusableRowError, count_rows, rows

STANDARD: Final = "2026"
BED_NIGHT: Final = "200"  # Services.csv's RecordType


def read_export(folder: Path, report: Report) -> Export:
    """Read a whole export folder."""
    services = list(rows(folder, _SERVICE, report))
    report.skip("Services.csv", None, "not-needed", "it is about no bed night", services.count(None))
    export = Export(
        source=next(rows(folder, _SOURCE, report), None),
        organizations=list(rows(folder, _ORGANIZATION, report)),
        projects=list(rows(folder, _PROJECT, report)),
        participations=list(rows(folder, _PARTICIPATION, report)),
        clients=list(rows(folder, _CLIENT, report)),
        enrollments=list(rows(folder, _ENROLLMENT, report)),
        exits=list(rows(folder, _EXIT, report)),
        health=list(rows(folder, _HEALTH_AND_DV, report)),
        events=list(rows(folder, _EVENT, report)),
        inventories=list(rows(folder, _INVENTORY, report)),
        bed_nights=[each for each in services if each is not None],
    )
    for path in _others(folder):
        count_rows(path, report)
    return export


def _others(folder: Path) -> Iterable[Path]:
    return sorted(path for path in folder.glob("*.csv") if path.name not in FILES)


def _read_source(cells: Cells) -> Source:
    cells.check_time("ExportDate")
    if not (cells.text("CSVVersion") or "").startswith(STANDARD):
        cells.report.note(cells.file, cells.line, "other-version", f"CSVVersion is not {STANDARD}: columns may differ")
    # SourceID is required only of an HMIS (SourceType 1); ImplementationID names the same system in every export.
    source = cells.text("SourceID") or cells.text("ImplementationID")
    if source is None:
        raise UnusableRowError(
            "missing-value", "SourceID and ImplementationID are empty: no id of this export is unique"
        )
    return Source(source, cells.text("SourceName"), cells.day("ExportEndDate"))


def _read_organization(cells: Cells) -> Organization:
    provider = cells.code("VictimServiceProvider", NoYes)
    if provider is None:
        why = "without VictimServiceProvider it is taken for a victim service provider, the stricter"
        cells.report.note(cells.file, cells.line, "missing-value", why)
    return Organization(
        cells.line,
        cells.identifier("OrganizationID"),
        cells.text("OrganizationName") or cells.identifier("OrganizationID"),
        provider is not NoYes.NO,
    )


def _read_project(cells: Cells) -> Project:
    return Project(
        cells.line,
        cells.identifier("ProjectID"),
        cells.identifier("OrganizationID"),
        cells.text("ProjectName") or cells.identifier("ProjectID"),
        cells.required_code("ProjectType", ProjectType),
    )


def _read_participation(cells: Cells) -> Participation:
    return Participation(
        cells.line,
        cells.identifier("ProjectID"),
        cells.required_code("HMISParticipationType", HmisParticipationType),
        cells.required_day("HMISParticipationStatusStartDate"),
        cells.day("HMISParticipationStatusEndDate"),
    )


def _read_client(cells: Cells) -> Client:
    return Client(cells.line, cells.identifier("PersonalID"), segments_of(cells, CLIENT_COLUMNS))


def _read_enrollment(cells: Cells) -> Enrollment:
    relationship = cells.required_code("RelationshipToHoH", RelationshipToHeadOfHousehold)
    segments = segments_of(cells, ENROLLMENT_COLUMNS)
    add_living_situation(cells, segments)
    return Enrollment(
        cells.line,
        cells.identifier("EnrollmentID"),
        cells.identifier("PersonalID"),
        cells.identifier("ProjectID"),
        cells.identifier("HouseholdID"),
        relationship,
        cells.required_day("EntryDate"),
        segments,
    )


def _read_exit(cells: Cells) -> Exit:
    return Exit(cells.line, cells.identifier("EnrollmentID"), cells.required_day("ExitDate"))


def _read_health_and_dv(cells: Cells) -> HealthAndDv:
    on = cells.required_day("InformationDate")
    segments = segments_of(cells, HEALTH_AND_DV_COLUMNS)
    for fields in segments.values():
        fields["information_date"] = on.isoformat()
    return HealthAndDv(cells.line, cells.identifier("EnrollmentID"), on, segments)


def _read_event(cells: Cells) -> Event:
    return Event(
        cells.line,
        cells.identifier("EventID"),
        cells.identifier("EnrollmentID"),
        cells.identifier("PersonalID"),
        cells.required_day("EventDate"),
        cells.required_code("Event", CoordinatedEntryEvent),
        cells.text("LocationCrisisOrPHHousing"),
        cells.code("ReferralResult", ReferralResult),
    )


def _read_inventory(cells: Cells) -> Inventory:
    return Inventory(
        cells.line,
        cells.identifier("InventoryID"),
        cells.identifier("ProjectID"),
        cells.text("CoCCode"),
        cells.required_code("HouseholdType", InventoryHouseholdType),
        cells.optional_code("Availability", InventoryAvailability),
        cells.optional_code("ESBedType", EmergencyShelterBedType),
        cells.number("BedInventory"),
        sum(cells.optional_number(column) for column in _VETERANS_BEDS),
        cells.required_day("InventoryStartDate"),
        # An end that cannot be read is not "no end": beds would be shown that are no more.
        cells.optional_day("InventoryEndDate"),
        cells.text("DateDeleted") is not None,
    )


def _read_service(cells: Cells) -> BedNight | None:
    if cells.text("RecordType") != BED_NIGHT:
        return None
    return BedNight(cells.identifier("EnrollmentID"), cells.required_day("DateProvided"))


_DELETED: Final = ("DateDeleted",)
_VETERANS_BEDS: Final = ("CHVetBedInventory", "YouthVetBedInventory", "VetBedInventory")
_SOURCE: Final = Table(
    "Export.csv", ("SourceID",), ("ImplementationID", "ExportDate", "ExportEndDate", "CSVVersion"), _read_source
)
_ORGANIZATION: Final = Table(
    "Organization.csv",
    ("OrganizationID",),
    ("OrganizationName", "VictimServiceProvider", *_DELETED),
    _read_organization,
    key="OrganizationID",
)
_PROJECT: Final = Table(
    "Project.csv",
    ("ProjectID", "OrganizationID", "ProjectType"),
    ("ProjectName", *_DELETED),
    _read_project,
    key="ProjectID",
)
_PARTICIPATION: Final = Table(
    "HMISParticipation.csv",
    ("HMISParticipationID", "ProjectID", "HMISParticipationType", "HMISParticipationStatusStartDate"),
    ("HMISParticipationStatusEndDate", *_DELETED),
    _read_participation,
    key="HMISParticipationID",
)
_CLIENT: Final = Table(
    "Client.csv", ("PersonalID",), (*columns_of(CLIENT_COLUMNS), *_DELETED), _read_client, key="PersonalID"
)
_ENROLLMENT: Final = Table(
    "Enrollment.csv",
    ("EnrollmentID", "PersonalID", "ProjectID", "HouseholdID", "RelationshipToHoH", "EntryDate"),
    (*columns_of(ENROLLMENT_COLUMNS), "LivingSituation", *_DELETED),
    _read_enrollment,
    key="EnrollmentID",
)
_EXIT: Final = Table("Exit.csv", ("EnrollmentID", "ExitDate"), _DELETED, _read_exit, key="EnrollmentID")
_HEALTH_AND_DV: Final = Table(
    "HealthAndDV.csv",
    ("HealthAndDVID", "EnrollmentID", "InformationDate"),
    (*columns_of(HEALTH_AND_DV_COLUMNS), *_DELETED),
    _read_health_and_dv,
    key="HealthAndDVID",
)
_EVENT: Final = Table(
    "Event.csv",
    ("EventID", "EnrollmentID", "PersonalID", "EventDate", "Event"),
    ("LocationCrisisOrPHHousing", "ReferralResult", *_DELETED),
    _read_event,
    key="EventID",
)
_INVENTORY: Final = Table(
    "Inventory.csv",
    ("InventoryID", "ProjectID", "HouseholdType", "BedInventory", "InventoryStartDate"),
    ("CoCCode", "Availability", "ESBedType", "InventoryEndDate", *_VETERANS_BEDS, *_DELETED),
    _read_inventory,
    key="InventoryID",
    keeps_deleted=True,
)
_SERVICE: Final = Table(
    "Services.csv",
    ("ServicesID", "EnrollmentID", "RecordType", "DateProvided"),
    _DELETED,
    _read_service,
    key="ServicesID",
)
FILES: Final = frozenset(
    table.file
    for table in (
        _SOURCE,
        _ORGANIZATION,
        _PROJECT,
        _PARTICIPATION,
        _CLIENT,
        _ENROLLMENT,
        _EXIT,
        _HEALTH_AND_DV,
        _EVENT,
        _INVENTORY,
        _SERVICE,
    )
)
