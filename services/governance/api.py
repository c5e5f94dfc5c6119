"""HTTP: organizations, projects, contacts, credentials, identifier systems, agreements."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response, status
from sqlalchemy import select
from sqlmodel import col

from services.governance import agreements, bodies, directory, store, tables
from services.governance.custodian import Narrowings
from services.kit.auth import Principal, Scope, requires, service_only
from services.kit.database import Database
from services.kit.idempotency import Once
from services.kit.pages import Page, PageRequest
from services.kit.problems import Problem, invalid_body
from services.kit.waiting import Wait, until

router = APIRouter()

Admin = Annotated[Principal, requires(Scope.ADMIN)]
Anyone = Annotated[Principal, requires()]
# Who speaks for an organization may register its projects; whoever refers clients, also whom to call back.
Registrar = Annotated[Principal, requires(Scope.ADMIN, Scope.AGREEMENTS_APPROVE)]
ContactRegistrar = Annotated[Principal, requires(Scope.ADMIN, Scope.AGREEMENTS_APPROVE, Scope.REFERRALS_WRITE)]
Party = Annotated[Principal, requires(Scope.ADMIN, Scope.AGREEMENTS_APPROVE)]
Approver = Annotated[Principal, requires(Scope.AGREEMENTS_APPROVE)]

SECRET = frozenset({"client_secret"})
NOT_YET: dict[int | str, dict[str, Any]] = {
    202: {"model": bodies.Agreement, "description": "It bites already, and not everybody has heard of it yet."}
}
Reached = Callable[[bodies.Agreement], bool]


@router.post("/organizations", status_code=status.HTTP_201_CREATED)
async def create_organization(body: bodies.NewOrganization, caller: Admin, once: Once) -> bodies.Organization:
    """Register an organization."""
    return await once(caller, bodies.Organization, lambda session: directory.add_organization(session, body))


@router.get("/organizations")
async def list_organizations(request: Request, caller: Anyone, page: PageRequest) -> Page[bodies.Organization]:
    """List the community's organizations, without projects and contacts."""
    del caller
    async with _database(request).transaction() as session:
        query = page.window(select(tables.Organization), col(tables.Organization.id))
        rows = (await session.scalars(query)).all()
    return page.page(rows, lambda row: row.id, lambda row: directory.organization_view(row, [], None))


@router.get("/organizations/{organization_id}")
async def read_organization(organization_id: str, request: Request, caller: Anyone) -> bodies.Organization:
    """Show an organization and its projects, to itself and the administrator also its contacts."""
    async with _database(request).transaction() as session:
        row = await store.organization(session, organization_id)
        own = caller.is_admin or caller.organization == organization_id
        contacts = await store.contacts(session, organization_id) if own else None
        return directory.organization_view(row, await store.projects(session, organization_id), contacts)


@router.patch("/organizations/{organization_id}")
async def change_organization(
    organization_id: str, body: bodies.OrganizationChange, request: Request, caller: Admin
) -> bodies.Organization:
    """Change an organization's attributes."""
    del caller
    async with _database(request).transaction() as session:
        return await directory.change_organization(session, organization_id, body)


@router.post("/organizations/{organization_id}/projects", status_code=status.HTTP_201_CREATED)
async def create_project(
    organization_id: str, body: bodies.NewProject, caller: Registrar, once: Once
) -> bodies.Project:
    """Register a project of the caller's own organization, or as the administrator of any."""
    _own(caller, organization_id)
    return await once(caller, bodies.Project, lambda session: directory.add_project(session, organization_id, body))


@router.patch("/organizations/{organization_id}/projects/{project_id}")
async def change_project(
    organization_id: str, project_id: str, body: bodies.ProjectChange, request: Request, caller: Registrar
) -> bodies.Project:
    """Make a project of the caller's own organization confidential; the administrator any, and no longer so."""
    _own(caller, organization_id)
    if not body.confidential and not caller.is_admin:
        raise invalid_body("confidential", "only the administrator makes a project's place known")
    async with _database(request).transaction() as session:
        return await directory.change_project(session, organization_id, project_id, body)


@router.post("/organizations/{organization_id}/contacts", status_code=status.HTTP_201_CREATED)
async def create_contact(
    organization_id: str, body: bodies.NewContact, caller: ContactRegistrar, once: Once
) -> bodies.Contact:
    """Register a member of staff to call back, of the caller's own organization, or as the administrator of any."""
    _own(caller, organization_id)
    return await once(caller, bodies.Contact, lambda session: directory.add_contact(session, organization_id, body))


@router.post("/organizations/{organization_id}/credentials", status_code=status.HTTP_201_CREATED)
async def create_credential(
    organization_id: str, body: bodies.NewCredential, caller: Admin, once: Once
) -> bodies.Credential:
    """Make an API client for an organization. Its secret is in this answer only, not in a repetition's."""
    return await once(
        caller,
        bodies.Credential,
        lambda session: directory.add_credential(session, organization_id, body),
        secret=SECRET,
    )


@router.delete("/organizations/{organization_id}/credentials/{client_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_credential(organization_id: str, client_id: str, request: Request, caller: Admin) -> None:
    """Take an API client away; tokens it already has end within ten minutes."""
    del caller
    async with _database(request).transaction() as session:
        await directory.revoke_credential(session, organization_id, client_id)


@router.post(
    "/organizations/{organization_id}/credentials/{client_id}/confirmation", status_code=status.HTTP_204_NO_CONTENT
)
async def confirm_credential(organization_id: str, client_id: str, request: Request, caller: Admin) -> None:
    """Let an API client count again that was issued before governance's database was restored."""
    del caller
    async with _database(request).transaction() as session:
        await directory.confirm_credential(session, organization_id, client_id)


@router.post("/identifier-systems", status_code=status.HTTP_201_CREATED)
async def create_identifier_system(
    body: bodies.NewIdentifierSystem, caller: Admin, once: Once
) -> bodies.IdentifierSystem:
    """Register a client index and the organizations that lawfully share it."""
    return await once(caller, bodies.IdentifierSystem, lambda session: directory.add_identifier_system(session, body))


@router.get("/organizations/{organization_id}/projects/{project_id}")
async def read_project(
    organization_id: str, project_id: str, request: Request, caller: Annotated[str, service_only("shelter_beds")]
) -> bodies.RegisteredProject:
    """Tell the shelter_beds service what it must know of a project to register its units."""
    del caller
    async with _database(request).transaction() as session:
        return await directory.registered_project(session, organization_id, project_id)


@router.get("/confidential-projects")
async def list_confidential_projects(
    request: Request, caller: Annotated[str, service_only("shelter_beds")]
) -> bodies.ConfidentialProjects:
    """Tell the shelter_beds service, which asks again and again, whose units nobody is to find, or tests alone."""
    del caller
    async with _database(request).transaction() as session:
        rows = await store.confidential_projects(session)
        tests = await store.test_organizations(session)
    named = [bodies.ProjectName(organization=row.organization, project=row.id) for row in rows]
    return bodies.ConfidentialProjects(projects=named, test_organizations=tests)


@router.get("/identifier-systems/{system_id}")
async def read_identifier_system(
    system_id: str, request: Request, caller: Annotated[str, service_only("consent")]
) -> bodies.IdentifierSystem:
    """Tell the consent service who shares a client index."""
    del caller
    async with _database(request).transaction() as session:
        found = await session.get(tables.IdentifierSystem, system_id)
    if found is None:
        raise Problem("not-found")
    return bodies.IdentifierSystem(id=found.id, organizations=found.organizations)


@router.post("/agreements", status_code=status.HTTP_201_CREATED)
async def create_agreement(body: bodies.NewAgreement, caller: Party, once: Once) -> bodies.Agreement:
    """Propose a data-sharing agreement; it binds nobody until its parties have approved it."""
    return await once(caller, bodies.Agreement, lambda session: agreements.propose(session, caller, body))


@router.get("/agreements/{agreement_id}")
async def read_agreement(agreement_id: str, request: Request, caller: Anyone) -> bodies.Agreement:
    """Show an agreement to its parties and the administrator."""
    async with _database(request).transaction() as session:
        return await agreements.read(session, caller, agreement_id)


@router.post("/agreements/{agreement_id}/approvals")
async def approve_agreement(
    agreement_id: str, request: Request, caller: Approver, wait: Wait, body: bodies.Decision | None = None
) -> bodies.Agreement:
    """Approve for the caller's organization; the deciding approval activates, a later one lets its party take part.

    `Prefer: wait` waits for `active`, on every partition.
    """
    async with _database(request).transaction() as session:
        approved = await agreements.approve(session, caller, agreement_id, body.actor if body else None)
    _narrowed(request)  # it may have taken another one's place
    if approved.status == "draft":
        return approved
    return await _reached(request, caller, approved, lambda now: now.status == "active" and not now.spreading, wait)


@router.post("/agreements/{agreement_id}/departure", responses=NOT_YET)
async def leave_agreement(
    agreement_id: str,
    request: Request,
    response: Response,
    caller: Approver,
    wait: Wait,
    body: bodies.Decision | None = None,
) -> bodies.Agreement:
    """Leave an agreement, for ever: 200 once nothing crosses to or from the party under it, else 202.

    It bites at once. What crossed before stays in the accounting. `Prefer: wait` waits for it.
    """
    async with _database(request).transaction() as session:
        left = await agreements.leave(session, caller, agreement_id, body.actor if body else None)
    _narrowed(request)
    return await _narrowing(request, response, caller, left, _has_left(caller.own_organization()), wait)


@router.post("/agreements/{agreement_id}/suspension", responses=NOT_YET)
async def suspend_agreement(
    agreement_id: str,
    request: Request,
    response: Response,
    caller: Party,
    wait: Wait,
    body: bodies.Decision | None = None,
) -> bodies.Agreement:
    """Suspend an agreement: 200 once nobody decides by it any more, else 202. `Prefer: wait` waits for it."""
    del body
    async with _database(request).transaction() as session:
        requested = await agreements.suspend(session, caller, agreement_id)
    _narrowed(request)
    return await _narrowing(request, response, caller, requested, lambda now: now.status == "suspended", wait)


def _narrowed(request: Request) -> None:
    narrowings: Narrowings = request.app.state.narrowings
    narrowings.requested()


def _has_left(organization: str) -> Reached:
    return lambda now: any(
        each.organization == organization and each.effective_at is not None for each in now.departures
    )


async def _narrowing(
    request: Request, response: Response, caller: Principal, agreement: bodies.Agreement, done: Reached, wait: int
) -> bodies.Agreement:
    """Wait for a narrowing and return the agreement, with 202 if it is not done yet."""
    latest = await _reached(request, caller, agreement, done, wait)
    if not done(latest):
        response.status_code = status.HTTP_202_ACCEPTED
    return latest


async def _reached(
    request: Request, caller: Principal, agreement: bodies.Agreement, done: Reached, wait: int
) -> bodies.Agreement:
    """Wait until it is done and return the agreement, whether it is or not."""
    latest = agreement

    async def check() -> bodies.Agreement | None:
        nonlocal latest
        async with _database(request).transaction() as session:
            latest = await agreements.read(session, caller, agreement.id)
        return latest if done(latest) else None

    await until(check, wait)
    return latest


def _own(caller: Principal, organization_id: str) -> None:
    if not caller.is_admin and caller.organization != organization_id:
        raise Problem("not-found")


def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database
