"""Registers organizations, their projects, contacts and credentials, and announces each change of an organization."""

import hashlib
import secrets
from collections.abc import Sequence

from msgspec import structs
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from schemas import control as control_data
from services.governance import bodies, records, store, tables
from services.kit.auth import Scope
from services.kit.database import now
from services.kit.keys import random_id
from services.kit.problems import Problem

SECRET_BYTES = 32
_ATTRIBUTES = ("id", "name", "kind", "victim_service_provider", "hipaa_covered", "test")


async def add_organization(session: AsyncSession, body: bodies.NewOrganization) -> bodies.Organization:
    """Register an organization; Problem 409 if its id is taken."""
    row = tables.Organization(**body.model_dump(exclude={"actor"}), last_order=0)
    await _insert(session, row)
    return await _announced(session, row)


async def change_organization(
    session: AsyncSession, organization_id: str, body: bodies.OrganizationChange
) -> bodies.Organization:
    """Change what the body names; Problem 422 if it would bring a victim service provider into a client index."""
    row = await store.organization(session, organization_id, lock=True)
    if body.victim_service_provider and await store.shares_an_index(session, organization_id):
        raise Problem("victim-service-provider", field="victim_service_provider")
    for name, value in body.model_dump(exclude={"actor"}, exclude_none=True).items():
        setattr(row, name, value)
    return await _announced(session, row)


async def add_project(session: AsyncSession, organization_id: str, body: bodies.NewProject) -> bodies.Project:
    """Register a project; Problem 409 if the organization has one of this id."""
    row = await store.organization(session, organization_id, lock=True)
    project = tables.Project(organization=organization_id, **body.model_dump(exclude={"actor"}))
    await _insert(session, project)
    await _announced(session, row)
    return project_view(project)


async def change_project(
    session: AsyncSession, organization_id: str, project_id: str, body: bodies.ProjectChange
) -> bodies.Project:
    """Change whether a project is confidential; Problem 404."""
    row = await store.organization(session, organization_id, lock=True)
    project = await store.project(session, organization_id, project_id)
    project.confidential = body.confidential
    await _announced(session, row)
    return project_view(project)


async def registered_project(session: AsyncSession, organization_id: str, project_id: str) -> bodies.RegisteredProject:
    """Return what others must know of a project; Problem 404."""
    organization = await store.organization(session, organization_id)
    project = await store.project(session, organization_id, project_id)
    return bodies.RegisteredProject(
        organization_name=organization.name,
        victim_service_provider=organization.victim_service_provider,
        test=organization.test,
        project_type=project.project_type,
        confidential=project.confidential,
    )


async def add_contact(session: AsyncSession, organization_id: str, body: bodies.NewContact) -> bodies.Contact:
    """Register a contact; Problem 409 if the organization has one of this id."""
    row = await store.organization(session, organization_id, lock=True)
    contact = tables.Contact(organization=organization_id, **body.model_dump(exclude={"actor"}))
    await _insert(session, contact)
    await _announced(session, row)
    return contact_view(contact)


async def add_credential(session: AsyncSession, organization_id: str, body: bodies.NewCredential) -> bodies.Credential:
    """Make an API client with a secret of 256 random bits, of which only the hash is kept."""
    await store.organization(session, organization_id)
    client_secret = secrets.token_urlsafe(SECRET_BYTES)
    scopes = sorted(set(body.scopes))
    row = tables.Credential(
        client_id=random_id(),
        organization=organization_id,
        name=body.name,
        scopes=[scope.value for scope in scopes],
        secret_hash=hash_of(client_secret),
        created_at=await now(session),
    )
    await _insert(session, row)
    return bodies.Credential(client_id=row.client_id, client_secret=client_secret, name=row.name, scopes=scopes)


async def revoke_credential(session: AsyncSession, organization_id: str, client_id: str) -> None:
    """Take an API client away: it gets no more tokens, and those it has end within ten minutes. Problem 404."""
    row = await _credential(session, organization_id, client_id)
    row.revoked_at = await now(session)


async def confirm_credential(session: AsyncSession, organization_id: str, client_id: str) -> None:
    """Let an API client count again after the database was restored; Problem 404."""
    row = await _credential(session, organization_id, client_id)
    row.unconfirmed = False


async def take_back(session: AsyncSession, said: control_data.Organization, order: int) -> None:
    """Let an organization be what the log says of it; its projects and contacts too, none of which is ever deleted."""
    described = {name: getattr(said, name) for name in _ATTRIBUTES}
    await session.merge(tables.Organization(**described, last_order=order))
    await session.flush()
    for project in said.projects:
        await session.merge(tables.Project(organization=said.id, **structs.asdict(project)))
    for contact in said.contacts:
        about = structs.asdict(contact) | {"languages": list(contact.languages)}
        await session.merge(tables.Contact(organization=said.id, **about))
    await session.flush()


async def add_identifier_system(session: AsyncSession, body: bodies.NewIdentifierSystem) -> bodies.IdentifierSystem:
    """Register who shares a client index.

    Problem 422 for an unknown organization, a victim service provider, and a test among real ones.
    """
    members = list(dict.fromkeys(body.organizations))
    await store.check_known(session, "organizations", members)
    await store.check_not_mixed(session, "organizations", members)
    for member in sorted(members):
        await store.organization(session, member, lock=True)
    await store.check_no_victim_service_provider(session, "organizations", members)
    await _insert(session, tables.IdentifierSystem(id=body.id, organizations=members))
    return bodies.IdentifierSystem(id=body.id, organizations=members)


async def said(session: AsyncSession, row: tables.Organization) -> control_data.Organization:
    """Return what the log says of an organization."""
    return _said(await _complete(session, row))


def hash_of(client_secret: str) -> bytes:
    """Return the form in which a credential's secret is kept; it is random, so it needs no slow hash."""
    return hashlib.sha256(client_secret.encode()).digest()


def organization_view(
    row: tables.Organization, projects: Sequence[tables.Project], contacts: Sequence[tables.Contact] | None
) -> bodies.Organization:
    """Show an organization; without its contacts where they are None."""
    return bodies.Organization(
        **row.model_dump(exclude={"last_order"}),
        projects=[project_view(project) for project in projects],
        contacts=None if contacts is None else [contact_view(contact) for contact in contacts],
    )


def project_view(row: tables.Project) -> bodies.Project:
    """Show a project."""
    return bodies.Project(**row.model_dump(exclude={"organization"}))


def contact_view(row: tables.Contact) -> bodies.Contact:
    """Show a contact."""
    return bodies.Contact(**row.model_dump(exclude={"organization"}))


def scopes_of(row: tables.Credential) -> frozenset[Scope]:
    """Return what a credential may do."""
    return frozenset(Scope(name) for name in row.scopes)


async def _credential(session: AsyncSession, organization_id: str, client_id: str) -> tables.Credential:
    row = await store.credential(session, client_id)
    if row is None or row.organization != organization_id:
        raise Problem("not-found")
    return row


async def _announced(session: AsyncSession, row: tables.Organization) -> bodies.Organization:
    """Say on the log what the organization is now, complete, and show it."""
    await session.flush()
    view = await _complete(session, row)
    await records.organization_changed(session, row, _said(view))
    return view


async def _complete(session: AsyncSession, row: tables.Organization) -> bodies.Organization:
    return organization_view(row, await store.projects(session, row.id), await store.contacts(session, row.id))


def _said(view: bodies.Organization) -> control_data.Organization:
    described = view.model_dump(exclude={"projects", "contacts"})
    return control_data.Organization(
        **described,
        projects=tuple(control_data.Project(**project.model_dump()) for project in view.projects),
        contacts=tuple(
            control_data.Contact(**{**contact.model_dump(), "languages": tuple(contact.languages)})
            for contact in view.contacts or []
        ),
    )


async def _insert(session: AsyncSession, row: tables.Table) -> None:
    try:
        async with session.begin_nested():
            session.add(row)
    except IntegrityError as error:
        raise Problem("already-exists", field="id") from error
