"""The rows of an export that the import uses, typed; `line` is the row's line in its file."""

from dataclasses import dataclass, field
from datetime import date

from schemas.codes import (
    CoordinatedEntryEvent,
    EmergencyShelterBedType,
    HmisParticipationType,
    InventoryAvailability,
    InventoryHouseholdType,
    ProjectType,
    ReferralResult,
    RelationshipToHeadOfHousehold,
)
from services.cli.hmis.segments import Segments


@dataclass(frozen=True, slots=True)
class Source:
    """Where the export is from: the id under which its other ids mean something; `end` is its period's last day."""

    id: str
    name: str | None
    end: date | None = None


@dataclass(frozen=True, slots=True)
class Organization:
    """A row of Organization.csv."""

    line: int
    id: str
    name: str
    victim_service_provider: bool


@dataclass(frozen=True, slots=True)
class Project:
    """A row of Project.csv."""

    line: int
    id: str
    organization_id: str
    name: str
    project_type: ProjectType


@dataclass(frozen=True, slots=True)
class Participation:
    """A row of HMISParticipation.csv; `end` is the first day it no longer holds, None while it does."""

    line: int
    project_id: str
    type: HmisParticipationType
    start: date
    end: date | None


@dataclass(frozen=True, slots=True)
class Inventory:
    """A row of Inventory.csv (2.07); a withdrawn one is kept, for what it once said may stand in the services.

    `start` is its first night, `end` the first day that it no longer holds: HUD's HMIS Data Standards Manual says of
    2.07's end date that it is the day after the last night for which the record counts, and HUD's LSA (4.5) takes no
    record that ends on the day it begins.
    """

    line: int
    id: str
    project_id: str
    coc: str | None
    household_type: InventoryHouseholdType
    availability: InventoryAvailability | None
    bed_type: EmergencyShelterBedType | None
    beds: int
    veteran_beds: int
    start: date
    end: date | None
    deleted: bool = False

    def holds(self, night: date) -> bool:
        """Tell whether the row is in force on a night."""
        return self.start <= night and (self.end is None or night < self.end)


@dataclass(frozen=True, slots=True)
class BedNight:
    """A row of Services.csv about a night in a night-by-night shelter (RecordType 200)."""

    enrollment_id: str
    on: date


@dataclass(frozen=True, slots=True)
class Client:
    """A row of Client.csv."""

    line: int
    id: str
    segments: Segments


@dataclass(frozen=True, slots=True)
class Enrollment:
    """A row of Enrollment.csv."""

    line: int
    id: str
    client_id: str
    project_id: str
    household_id: str
    relationship_to_hoh: RelationshipToHeadOfHousehold
    entry: date
    segments: Segments

    @property
    def moved_in(self) -> date | None:
        """When the household moved into permanent housing (3.20)."""
        said = self.segments.get("housing_history", {}).get("move_in_date")
        return None if said is None else date.fromisoformat(said)


@dataclass(frozen=True, slots=True)
class Exit:
    """A row of Exit.csv."""

    line: int
    enrollment_id: str
    on: date


@dataclass(frozen=True, slots=True)
class HealthAndDv:
    """A row of HealthAndDV.csv."""

    line: int
    enrollment_id: str
    on: date
    segments: Segments


@dataclass(frozen=True, slots=True)
class Event:
    """A row of Event.csv; `located` is the id of the project that was referred to."""

    line: int
    id: str
    enrollment_id: str
    client_id: str
    on: date
    code: CoordinatedEntryEvent
    located: str | None
    result: ReferralResult | None


@dataclass(frozen=True, slots=True)
class Export:
    """An export as read; `source` is None when Export.csv does not say whose it is, and then nothing can be taken."""

    source: Source | None
    organizations: list[Organization]
    projects: list[Project]
    participations: list[Participation]
    clients: list[Client]
    enrollments: list[Enrollment]
    exits: list[Exit]
    health: list[HealthAndDv]
    events: list[Event]
    inventories: list[Inventory] = field(default_factory=list)
    bed_nights: list[BedNight] = field(default_factory=list)
