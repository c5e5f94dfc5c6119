"""Maps an export to what the importer will do; pure, and every row that is not taken has its reason in the report."""

from collections.abc import Collection, Iterable, Mapping
from datetime import date
from types import MappingProxyType
from typing import Final

from schemas.codes import HmisParticipationType
from services.cli.hmis.households import Households
from services.cli.hmis.lodging import Lodging
from services.cli.hmis.occupancy import Occupancy
from services.cli.hmis.openings import Community, Openings
from services.cli.hmis.plan import (
    HmisParticipation,
    IdentifierSystem,
    Mode,
    Plan,
    PlannedClient,
    PlannedOrganization,
    PlannedProject,
    Registration,
    safe_id,
)
from services.cli.hmis.report import Report
from services.cli.hmis.rows import Client, Enrollment, Export, Participation, Project

# The stricter first: what counts is whether data could get into an HMIS.
_PARTICIPATION: Final[Mapping[HmisParticipationType, HmisParticipation]] = MappingProxyType(
    {
        HmisParticipationType.HMIS_PARTICIPATING: "hmis",
        HmisParticipationType.COMPARABLE_DATABASE_PARTICIPATING: "comparable_database",
        HmisParticipationType.NOT_PARTICIPATING: "none",
    }
)


def plan_import(export: Export, report: Report, as_of: date, mode: Mode = "history") -> Plan:
    """Plan the import of an export; `as_of` is the day for which HMIS participation counts."""
    if export.source is None:
        return Plan()
    community = _community(export, export.source.id, report, as_of, mode)
    clients = {client.id: client for client in export.clients}
    enrollments = _usable(export.enrollments, clients, community, report)
    households = Households(export, enrollments.values(), clients)
    occupancy = Occupancy(community, enrollments, households, export.bed_nights)
    night = min(as_of, export.source.end or as_of)
    beds = Lodging(export.source.id, export.inventories, community, occupancy).on(night, report)
    openings = Openings(community, enrollments, households, report)
    referrals = [referral for event in export.events for referral in openings.referrals(event)]
    _report_unused(export, openings.referred, occupancy, night, report)
    return Plan(
        organizations=tuple(community.organizations.values()),
        projects=tuple(project for project, _ in community.projects.values()),
        identifier_system=_system(community),
        beds=beds,
        clients=tuple(_clients(export.clients, enrollments.values(), community, report)),
        referrals=tuple(referrals),
    )


def recorded_beds(export: Export, as_of: date) -> tuple[Lodging, Occupancy] | None:
    """Return the inventory and the nights of an export, for any night to be planned; None for an export of nobody."""
    report = Report()
    if export.source is None:
        return None
    community = _community(export, export.source.id, report, as_of, "history")
    clients = {client.id: client for client in export.clients}
    enrollments = _usable(export.enrollments, clients, community, report)
    households = Households(export, enrollments.values(), clients)
    occupancy = Occupancy(community, enrollments, households, export.bed_nights)
    return Lodging(export.source.id, export.inventories, community, occupancy), occupancy


def _community(export: Export, source: str, report: Report, as_of: date, mode: Mode) -> Community:
    organizations = {
        each.id: PlannedOrganization(safe_id(source, each.id), each.name, each.victim_service_provider)
        for each in export.organizations
    }
    participation = _participations(export, report, as_of)
    projects: dict[str, tuple[PlannedProject, PlannedOrganization]] = {}
    for each in export.projects:
        if each.organization_id not in organizations:
            why = "OrganizationID names no organization that was taken"
            report.skip("Project.csv", each.line, "unknown-reference", why)
            continue
        organization = organizations[each.organization_id]
        planned = _project(each, safe_id(source, each.id), organization, participation.get(each.id, "none"), report)
        projects[each.id] = planned, organization
    return Community(f"{mode}/{safe_id(source)}", organizations, projects, safe_id(source, "hmis"))


def _project(
    project: Project, id_: str, organization: PlannedOrganization, participation: HmisParticipation, report: Report
) -> PlannedProject:
    if organization.victim_service_provider and participation == "hmis":
        why = "a victim service provider's project is said to take part in an HMIS (34 U.S.C. 12291(b)(2) forbids it)"
        report.note("Project.csv", project.line, "contradiction", why)
    return PlannedProject(id_, organization.id, project.name, int(project.project_type), participation)


def _participations(export: Export, report: Report, as_of: date) -> dict[str, HmisParticipation]:
    known = {project.id for project in export.projects}
    types: dict[str, set[HmisParticipationType]] = {}
    for each in export.participations:
        if each.project_id not in known:
            why = "ProjectID names no project that was taken"
            report.skip("HMISParticipation.csv", each.line, "unknown-reference", why)
        elif not _holds(each, as_of):
            report.skip("HMISParticipation.csv", each.line, "not-needed", "it does not hold on the day of the import")
        else:
            types.setdefault(each.project_id, set()).add(each.type)
    return {id_: next(name for type_, name in _PARTICIPATION.items() if type_ in some) for id_, some in types.items()}


def _holds(participation: Participation, on: date) -> bool:
    return participation.start <= on and (participation.end is None or on < participation.end)


def _usable(
    enrollments: Iterable[Enrollment], clients: Mapping[str, Client], community: Community, report: Report
) -> dict[str, Enrollment]:
    usable: dict[str, Enrollment] = {}
    for each in enrollments:
        if each.client_id not in clients:
            why = "PersonalID names no client that was taken"
            report.skip("Enrollment.csv", each.line, "unknown-reference", why)
        elif each.project_id not in community.projects:
            why = "ProjectID names no project that was taken"
            report.skip("Enrollment.csv", each.line, "unknown-reference", why)
        else:
            usable[each.id] = each
    return usable


def _system(community: Community) -> IdentifierSystem:
    """Name the organizations that share the export's client index: never a victim service provider."""
    sharing = {organization.id for id_, (_, organization) in community.projects.items() if not community.protected(id_)}
    return IdentifierSystem(community.system, tuple(sorted(sharing)))


def _clients(
    clients: Iterable[Client], enrollments: Iterable[Enrollment], community: Community, report: Report
) -> Iterable[PlannedClient]:
    registrations: dict[str, dict[Registration, None]] = {}
    for enrollment in enrollments:
        registrations.setdefault(enrollment.client_id, {})[community.registration(enrollment)] = None
    for client in clients:
        if client.id in registrations:
            yield PlannedClient(tuple(registrations[client.id]))
        else:
            report.skip("Client.csv", client.line, "not-needed", "no enrollment that was taken: nobody to register it")


def _report_unused(
    export: Export, referred: Collection[str], occupancy: Occupancy, night: date, report: Report
) -> None:
    why = "about nobody whose record is sealed for a referral"
    health = sum(each.enrollment_id not in referred for each in export.health)
    report.skip("HealthAndDV.csv", None, "not-needed", why, health)
    used = occupancy.enrollment_ids.union(referred)
    exits = sum(each.enrollment_id not in used for each in export.exits)
    report.skip("Exit.csv", None, "not-needed", f"{why}, or who lodges anywhere", exits)
    others = sum(each.on != night for each in export.bed_nights)
    report.skip("Services.csv", None, "not-needed", f"it is about another night than that of {night}", others)
