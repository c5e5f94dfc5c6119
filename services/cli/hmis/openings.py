"""Turns the events of an export that refer to an opening into referrals (HUD 4.20)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from schemas.categories import Purpose
from schemas.codes import CoordinatedEntryEvent, ProjectType, ReferralResult
from schemas.need import LARGEST_HOUSEHOLD, Service
from services.cli.hmis.households import HEAD, Households, Person, household_type
from services.cli.hmis.plan import (
    LOCAL_SYSTEM,
    PlannedMember,
    PlannedOrganization,
    PlannedProject,
    PlannedReferral,
    Registration,
    Transition,
    safe_id,
)
from services.cli.hmis.report import Report
from services.cli.hmis.rows import Enrollment, Event

FILE: Final = "Event.csv"


@dataclass(frozen=True, slots=True)
class Opening:
    """What an event code asks for, and which types of project have it."""

    service: Service
    purpose: Purpose
    project_types: frozenset[ProjectType]


_SHELTERS: Final = frozenset({ProjectType.EMERGENCY_SHELTER_ENTRY_EXIT, ProjectType.EMERGENCY_SHELTER_NIGHT_BY_NIGHT})
_OTHER_PERMANENT: Final = frozenset({ProjectType.PERMANENT_HOUSING_ONLY, ProjectType.PERMANENT_HOUSING_WITH_SERVICES})
# A joint TH-RRH project is entered in an HMIS as two projects, one of each type. Vouchers are permanent housing.
OPENINGS: Final[Mapping[CoordinatedEntryEvent, Opening]] = MappingProxyType(
    {
        CoordinatedEntryEvent.EMERGENCY_SHELTER_OPENING: Opening("ES", "shelter-placement", _SHELTERS),
        CoordinatedEntryEvent.TRANSITIONAL_HOUSING_OPENING: Opening(
            "TH", "shelter-placement", frozenset({ProjectType.TRANSITIONAL_HOUSING})
        ),
        CoordinatedEntryEvent.JOINT_TH_RRH_OPENING: Opening(
            "RRH", "housing-placement", frozenset({ProjectType.TRANSITIONAL_HOUSING, ProjectType.RAPID_REHOUSING})
        ),
        CoordinatedEntryEvent.RAPID_REHOUSING_OPENING: Opening(
            "RRH", "housing-placement", frozenset({ProjectType.RAPID_REHOUSING})
        ),
        CoordinatedEntryEvent.PERMANENT_SUPPORTIVE_HOUSING_OPENING: Opening(
            "PSH", "housing-placement", frozenset({ProjectType.PERMANENT_SUPPORTIVE_HOUSING})
        ),
        CoordinatedEntryEvent.OTHER_PERMANENT_HOUSING_OPENING: Opening("OPH", "housing-placement", _OTHER_PERMANENT),
        CoordinatedEntryEvent.EMERGENCY_HOUSING_VOUCHER: Opening("OPH", "housing-placement", _OTHER_PERMANENT),
        CoordinatedEntryEvent.HOUSING_STABILITY_VOUCHER: Opening("OPH", "housing-placement", _OTHER_PERMANENT),
    }
)
_TRANSITIONS: Final[Mapping[ReferralResult, Transition]] = MappingProxyType(
    {
        ReferralResult.CLIENT_ACCEPTED: Transition("accepted"),
        ReferralResult.CLIENT_REJECTED: Transition("declined", declined_by="client"),
        ReferralResult.PROVIDER_REJECTED: Transition("declined", declined_by="provider"),
    }
)


@dataclass(frozen=True, slots=True)
class Community:
    """The export's organizations and projects, by the ids of the export, and how its people are registered.

    `key` begins the key of every referral.
    """

    key: str
    organizations: Mapping[str, PlannedOrganization]
    projects: Mapping[str, tuple[PlannedProject, PlannedOrganization]]
    system: str

    def protected(self, project_id: str) -> bool:
        """Tell whether a project's people must not be linked to an HMIS: a victim service provider's, or kept apart."""
        project, organization = self.projects[project_id]
        return organization.victim_service_provider or project.comparable_database

    def registration(self, enrollment: Enrollment) -> Registration:
        """Register an enrolled person with the organization: in the shared index, or under an id of its own."""
        _, organization = self.projects[enrollment.project_id]
        system = LOCAL_SYSTEM if self.protected(enrollment.project_id) else self.system
        return Registration(organization.id, system, enrollment.client_id)


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom a referral goes to: an organization and, where it is known, its project."""

    organization_id: str
    project_id: str | None


class Openings:
    """Plans the referrals of each event."""

    def __init__(
        self, community: Community, enrollments: Mapping[str, Enrollment], households: Households, report: Report
    ) -> None:
        """Take what the rest of the export was mapped to."""
        self._community = community
        self._enrollments = enrollments
        self._households = households
        self._report = report
        self.referred: set[str] = set()  # the enrollments whose records went into a referral

    def referrals(self, event: Event) -> list[PlannedReferral]:
        """Plan the referrals an event stands for: none, one, or one for each organization it may have gone to."""
        opening = OPENINGS.get(event.code)
        if opening is None:
            self._report.skip(FILE, event.line, "not-a-referral", f"event {event.code:d} refers to no opening")
            return []
        enrollment = self._enrollment(event)
        household = self._household(event, enrollment) if enrollment is not None else []
        if enrollment is None or not household:
            return []
        recipients = self._recipients(event, opening, enrollment)
        return [self._referral(event, opening, enrollment, household, recipient) for recipient in recipients]

    def _enrollment(self, event: Event) -> Enrollment | None:
        enrollment = self._enrollments.get(event.enrollment_id)
        if enrollment is None:
            why = "EnrollmentID names no enrollment that was taken"
            self._report.skip(FILE, event.line, "unknown-reference", why)
        elif enrollment.client_id != event.client_id:
            why = "PersonalID is not that of the enrollment"
            self._report.skip(FILE, event.line, "contradiction", why)
            return None
        return enrollment

    def _household(self, event: Event, enrollment: Enrollment) -> list[Person]:
        household = self._households.present(enrollment, event.on)
        heads = sum(person.enrollment.relationship_to_hoh is HEAD for person in household)
        if heads == 1:
            return household
        why = f"the household has {heads} heads on the day of the event, a referral needs exactly one"
        self._report.skip(FILE, event.line, "household-without-head", why)
        return []

    def _recipients(self, event: Event, opening: Opening, enrollment: Enrollment) -> list[Recipient]:
        _, origin = self._community.projects[enrollment.project_id]
        if event.located is None:
            return self._candidates(event, opening, origin)
        if event.located not in self._community.projects:
            why = "LocationCrisisOrPHHousing names no project that was taken"
            self._report.skip(FILE, event.line, "unknown-reference", why)
            return []
        project, organization = self._community.projects[event.located]
        if organization is origin:
            why = "the opening is the enrolling organization's own: nothing crosses"
            self._report.skip(FILE, event.line, "within-organization", why)
            return []
        return [Recipient(organization.id, project.id)]

    def _candidates(self, event: Event, opening: Opening, origin: PlannedOrganization) -> list[Recipient]:
        found: dict[str, list[str]] = {}
        for project, organization in self._community.projects.values():
            if organization is not origin and project.project_type in opening.project_types:
                found.setdefault(organization.id, []).append(project.id)
        if not found:
            why = f"no other organization has a project of type {_listed(opening.project_types)}"
            self._report.skip(FILE, event.line, "no-recipient", why)
            return []
        why = f"one referral to each other organization with a project of type {_listed(opening.project_types)}"
        self._report.note(FILE, event.line, "no-location", f"{why}: {', '.join(sorted(found))}")
        if event.result is not None:
            why = f"result {event.result:d} is not applied: whose answer it is, the export does not say"
            self._report.note(FILE, event.line, "result-not-sent", why)
        # With several projects of the type none is named: the organization places the person itself.
        return [Recipient(id_, projects[0] if len(projects) == 1 else None) for id_, projects in sorted(found.items())]

    def _referral(
        self, event: Event, opening: Opening, enrollment: Enrollment, household: list[Person], to: Recipient
    ) -> PlannedReferral:
        project, organization = self._community.projects[enrollment.project_id]
        key = f"{self._community.key}/{safe_id(event.id)}/{to.organization_id}"
        if self._community.protected(enrollment.project_id):
            why = "its people are protected: the need alone is sent, with a fresh client id for each referral"
            self._report.note(FILE, event.line, "need-alone", why)
        size = min(len(household), LARGEST_HOUSEHOLD)
        return PlannedReferral(
            key=key,
            external_id=event.id,
            organization_id=organization.id,
            project_id=project.id,
            to_organization_id=to.organization_id,
            to_project_id=to.project_id,
            service=opening.service,
            purpose=opening.purpose,
            need={"household_type": household_type(household, event.on), "household_size": size, "beds": size},
            members=tuple(self._member(person, household, event, key) for person in household),
            on=event.on,
            transition=_TRANSITIONS[event.result] if event.located and event.result is not None else None,
        )

    def _member(self, person: Person, household: list[Person], event: Event, key: str) -> PlannedMember:
        registration = self._community.registration(person.enrollment)
        relationship = int(person.enrollment.relationship_to_hoh)
        if self._community.protected(person.enrollment.project_id):
            # A second referral under the same client id would link the two at their recipients (VAWA confidentiality).
            fresh = Registration(registration.organization_id, LOCAL_SYSTEM, f"{registration.value}/{key}")
            return PlannedMember(fresh, relationship, {})
        self.referred.add(person.enrollment.id)
        return PlannedMember(registration, relationship, self._households.segments(person, household, event.on))


def _listed(types: Iterable[ProjectType]) -> str:
    return " or ".join(str(int(each)) for each in sorted(types))
