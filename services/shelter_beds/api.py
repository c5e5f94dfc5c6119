"""HTTP: units, their beds, censuses, and how many beds there are."""

from typing import Annotated, Any

from fastapi import APIRouter, Request, status
from sqlmodel import col

from services.kit.auth import Principal, Scope, requires
from services.kit.clients import ServiceClient
from services.kit.database import Database
from services.kit.idempotency import Once
from services.kit.pages import Page, PageRequest
from services.kit.problems import invalid_body
from services.shelter_beds import bodies, directory, saying, store, units
from services.shelter_beds.tables import Change, Unit

router = APIRouter(tags=["beds"])

# The administrator registers and keeps the units of shelters without a system of their own.
Registrar = Annotated[Principal, requires(Scope.BEDS_WRITE, Scope.ADMIN)]
Writer = Annotated[Principal, requires(Scope.BEDS_WRITE)]
Reader = Annotated[Principal, requires(Scope.BEDS_READ, Scope.ADMIN)]


@router.post("/units", status_code=status.HTTP_201_CREATED)
async def create_unit(body: bodies.NewUnit, request: Request, caller: Registrar, once: Once) -> bodies.UnitView:
    """Register a unit with its beds, for a project of the caller's organization, or as the administrator of any."""
    if body.organization is not None and not caller.is_admin and body.organization != caller.organization:
        raise invalid_body("organization", "must be the caller's own")
    organization = body.organization or caller.own_organization()
    governance: ServiceClient = request.app.state.governance
    project = await directory.project(governance, organization, body.project)
    return await once(caller, bodies.UnitView, lambda session: units.add(session, caller, organization, project, body))


@router.get("/units")
async def list_units(request: Request, caller: Reader, page: PageRequest) -> Page[bodies.UnitView]:
    """List the units at whose desk the caller acts; to the administrator all, tests too."""
    async with _database(request).transaction() as session:
        rows = (await session.scalars(page.window(store.units(caller), col(Unit.id)))).all()
        beds = await store.beds_of(session, [row.id for row in rows])
    return page.page(rows, lambda row: row.id, lambda row: units.view(row, beds[row.id]))


@router.get("/units/{unit_id}")
async def read_unit(unit_id: str, request: Request, caller: Reader) -> bodies.UnitView:
    """Show a unit, bed by bed, to whoever acts at its desk."""
    async with _database(request).transaction() as session:
        row = await store.unit_at_the_desk(session, caller, unit_id)
        return units.view(row, await store.beds(session, unit_id))


@router.patch("/units/{unit_id}")
async def change_unit(unit_id: str, body: bodies.UnitChange, request: Request, caller: Registrar) -> bodies.UnitView:
    """Change what is said of a unit, its number of beds, or withdraw it for good."""
    async with _database(request).transaction() as session:
        row = await store.unit(session, caller, unit_id)
    project = await directory.project_now(request.app.state.governance, row.organization, row.project)
    async with _database(request).transaction() as session:
        return await units.change(session, caller, unit_id, project, body)


@router.patch("/units/{unit_id}/beds/{bed_id}")
async def change_bed(
    unit_id: str, bed_id: str, body: bodies.BedChange, request: Request, caller: Writer
) -> bodies.BedView:
    """Say that a bed is free, taken, or out of service."""
    async with _database(request).transaction() as session:
        return await units.change_bed(session, caller, unit_id, bed_id, body)


@router.put("/units/{unit_id}/census")
async def put_census(unit_id: str, body: bodies.NewCensus, request: Request, caller: Writer) -> bodies.CensusView:
    """Say how many beds are free or taken, as one number."""
    async with _database(request).transaction() as session:
        return await units.count(session, caller, unit_id, body)


@router.get("/units/{unit_id}/changes")
async def list_changes(unit_id: str, request: Request, caller: Reader, page: PageRequest) -> Page[bodies.ChangeView]:
    """List who changed what of a unit, and when, to whoever acts at its desk."""
    async with _database(request).transaction() as session:
        await store.unit_at_the_desk(session, caller, unit_id)
        rows = (await session.scalars(page.window(store.changes(unit_id), col(Change.id)))).all()
    return page.page(rows, lambda row: row.id or 0, lambda row: units.change_view(row, caller.organization))


@router.get("/availability")
async def list_availability(request: Request, caller: Reader, page: PageRequest) -> Page[dict[str, Any]]:
    """List how many beds there are, as the feed says it: `schemas.beds.Unit`.

    To a test organization, of tests' units; to everybody else, of real ones.
    """
    async with _database(request).transaction() as session:
        rows = (await session.scalars(page.window(store.said_units(caller), col(Unit.id)))).all()
    return page.page(rows, lambda row: row.id, saying.last_said)


def _database(request: Request) -> Database:
    found: Database = request.app.state.database
    return found
