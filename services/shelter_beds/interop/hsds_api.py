"""HTTP: units as Open Referral HSDS 3.1 services, with their capacity. To be read only."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request
from pydantic import AwareDatetime

from schemas.beds import Unit
from services.kit.auth import Principal
from services.kit.database import Database
from services.kit.problems import Problem
from services.shelter_beds.api import Reader
from services.shelter_beds.interop import hsds
from services.shelter_beds.interop.units import all_said

router = APIRouter(prefix="/hsds", tags=["hsds"])

MOST_PAGES: Final = 1_000_000


class Wanted:
    """Which page of which units: those of an organization, those that changed at a time or later."""

    def __init__(
        self,
        page: Annotated[int, Query(ge=1, le=MOST_PAGES)] = 1,
        per_page: Annotated[int, Query(ge=1, le=200)] = 50,
        organization_id: Annotated[str | None, Query(max_length=64)] = None,
        modified_after: AwareDatetime | None = None,
    ) -> None:
        self._page = page
        self._per_page = per_page
        self._organization_id = organization_id
        self._modified_after = modified_after

    def of(self, units: list[Unit], make: Callable[[Unit], dict[str, Any] | None]) -> dict[str, Any]:
        """Return the page of what is made of the units that are wanted."""
        made = [found for unit in units if self._is_wanted(unit) and (found := make(unit)) is not None]
        return self.cut(made)

    def cut(self, objects: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the page of objects."""
        return hsds.page(objects, self._page, self._per_page)

    def _is_wanted(self, unit: Unit) -> bool:
        if self._organization_id not in {None, hsds.organization_id(unit.organization)}:
            return False
        return self._modified_after is None or datetime.fromisoformat(unit.updated_at) >= self._modified_after


Asked = Annotated[Wanted, Depends()]


@router.get("")
async def about(request: Request, caller: Reader) -> dict[str, str]:
    """Say which version of HSDS this is."""
    del caller
    return {"version": hsds.VERSION, "profile": hsds.PROFILE, "openapi_url": f"{request.base_url}openapi.json"}


@router.get("/service_capacities")
async def list_capacities(request: Request, caller: Reader, asked: Asked) -> dict[str, Any]:
    """List how many beds there are, as HSDS `service_capacity`: of units that show their counts, and no others."""
    return asked.of(await _units(request, caller), hsds.capacity)


@router.get("/services")
async def list_services(request: Request, caller: Reader, asked: Asked) -> dict[str, Any]:
    """List units as HSDS services, without what there may be several of."""
    now = datetime.now(UTC)
    return asked.of(await _units(request, caller), lambda unit: hsds.service(unit, now))


@router.get("/services/{service_id}")
async def read_service(service_id: str, request: Request, caller: Reader) -> dict[str, Any]:
    """Show a unit as an HSDS service, with its capacity."""
    for unit in await _units(request, caller):
        if hsds.service_id(unit) == service_id:
            return hsds.full_service(unit, datetime.now(UTC))
    raise Problem("not-found")


@router.get("/organizations")
async def list_organizations(request: Request, caller: Reader, asked: Asked) -> dict[str, Any]:
    """List the organizations that have units, as HSDS organizations."""
    return asked.cut([hsds.organization(units) for units in _by_organization(await _units(request, caller))])


@router.get("/organizations/{organization_id}")
async def read_organization(organization_id: str, request: Request, caller: Reader) -> dict[str, Any]:
    """Show an organization with its services."""
    for units in _by_organization(await _units(request, caller)):
        if hsds.organization_id(units[0].organization) == organization_id:
            return hsds.full_organization(units, datetime.now(UTC))
    raise Problem("not-found")


def _by_organization(units: list[Unit]) -> list[list[Unit]]:
    found: dict[str, list[Unit]] = {}
    for unit in units:
        found.setdefault(unit.organization, []).append(unit)
    return list(found.values())


async def _units(request: Request, caller: Principal) -> list[Unit]:
    database: Database = request.app.state.database
    async with database.transaction() as session:
        return await all_said(session, caller)
