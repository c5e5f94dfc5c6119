"""What an import will do: organizations, projects, clients and referrals, as the services' APIs name them."""

import hashlib
import re
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Literal

from schemas.beds import HoldPolicy, HouseholdType
from schemas.beds import Season as SeasonName
from schemas.categories import Category, Purpose

LOCAL_SYSTEM: Final = "local"  # consent's name for an organization's own identifiers, shared with nobody
HmisParticipation = Literal["none", "hmis", "comparable_database"]
Mode = Literal["history", "live"]  # whether referrals are taken as what was, or are new
Only = Literal["organizations", "beds"]  # what alone to import; beds with the organizations whose they are


_ID_PART: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._]{0,23}", re.ASCII)
_HASHED_ID_BYTES: Final = 8


def safe_id(*parts: str) -> str:
    """Join ids of an export to one that the APIs take; a part with other characters, or too long, becomes its hash."""
    return "-".join(
        part if _ID_PART.fullmatch(part) else "h" + hashlib.sha256(part.encode()).hexdigest()[: 2 * _HASHED_ID_BYTES]
        for part in parts
    )


@dataclass(frozen=True, slots=True)
class PlannedOrganization:
    """An organization to create; `id` is unique across exports."""

    id: str
    name: str
    victim_service_provider: bool


@dataclass(frozen=True, slots=True)
class PlannedProject:
    """A project to create; `project_type` is HUD's code (2.02.6)."""

    id: str
    organization_id: str
    name: str
    project_type: int
    hmis_participation: HmisParticipation

    @property
    def comparable_database(self) -> bool:
        """Tell whether its data is kept out of the HMIS, as a victim service provider's must be."""
        return self.hmis_participation == "comparable_database"


@dataclass(frozen=True, slots=True)
class IdentifierSystem:
    """The export's HMIS: the organizations that lawfully share its client index."""

    id: str
    organization_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Registration:
    """One organization's registration of a person under an identifier; in a shared system all find one client."""

    organization_id: str
    system: str
    value: str


@dataclass(frozen=True, slots=True)
class PlannedClient:
    """A person of the export and everyone who serves them."""

    registrations: tuple[Registration, ...]


@dataclass(frozen=True, slots=True)
class PlannedMember:
    """A member of the referred household; its segments are what is sealed."""

    registration: Registration
    relationship_to_hoh: int
    segments: dict[Category, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Transition:
    """What became of a located referral."""

    to: Literal["accepted", "declined"]
    declined_by: Literal["client", "provider"] | None = None


@dataclass(frozen=True, slots=True)
class PlannedReferral:
    """A referral to publish; `key` is the same in every import of the same event in the same mode.

    `service` and `need` are as POST /referrals takes them; `on` is the day of the event; `external_id` is the event's
    id in the HMIS.
    """

    key: str
    external_id: str
    organization_id: str
    project_id: str
    to_organization_id: str
    to_project_id: str | None
    service: str
    purpose: Purpose
    need: dict[str, Any]
    members: tuple[PlannedMember, ...]
    on: date
    transition: Transition | None


@dataclass(frozen=True, slots=True)
class PlannedUnit:
    """A unit to register with its organization; `external_id` is unique across exports.

    `occupied` of its `beds` are taken on the plan's night.
    """

    external_id: str
    organization_id: str
    project_id: str
    name: str
    household_type: HouseholdType
    season: SeasonName
    opens_on: date | None
    closes_on: date | None
    beds: int
    veterans_only: bool
    night_by_night: bool
    hold_policy: HoldPolicy
    occupied: int


@dataclass(frozen=True, slots=True)
class PlannedBeds:
    """The units of a night; `gone` are those that are no more: organization and external id."""

    night: date
    units: tuple[PlannedUnit, ...] = ()
    gone: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything an import will do, in the order it must be done."""

    organizations: tuple[PlannedOrganization, ...] = ()
    projects: tuple[PlannedProject, ...] = ()
    identifier_system: IdentifierSystem | None = None
    beds: PlannedBeds | None = None
    clients: tuple[PlannedClient, ...] = ()
    referrals: tuple[PlannedReferral, ...] = ()
