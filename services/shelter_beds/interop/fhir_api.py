"""HTTP: units as FHIR R4 resources, to be read only. Errors are those of every other route, not OperationOutcomes."""

from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from services.kit.auth import Principal
from services.kit.database import Database
from services.kit.problems import Problem
from services.shelter_beds.api import Reader
from services.shelter_beds.interop import fhir
from services.shelter_beds.interop.units import all_said

LARGEST_OFFSET: Final = 1_000_000


class FhirResponse(JSONResponse):
    """A resource."""

    media_type = "application/fhir+json"


router = APIRouter(prefix="/fhir", tags=["fhir"], default_response_class=FhirResponse)

Count = Annotated[int, Query(alias="_count", ge=1, le=200)]
Offset = Annotated[int, Query(alias="_offset", ge=0, le=LARGEST_OFFSET)]


@router.get("/metadata")
async def read_metadata(request: Request, caller: Reader) -> FhirResponse:
    """Say what can be asked for: a CapabilityStatement."""
    del caller
    return FhirResponse(fhir.capability(_base(request)))


@router.get("/Location")
async def search_locations(request: Request, caller: Reader, count: Count = 50, offset: Offset = 0) -> FhirResponse:
    """List the places of units; a confidential one has none."""
    return await _search(request, caller, "Location", offset, count)


@router.get("/Location/{unit_id}")
async def read_location(unit_id: str, request: Request, caller: Reader) -> FhirResponse:
    """Show the place of a unit."""
    return await _read(request, caller, "Location", unit_id)


@router.get("/HealthcareService")
async def search_services(request: Request, caller: Reader, count: Count = 50, offset: Offset = 0) -> FhirResponse:
    """List all units as services."""
    return await _search(request, caller, "HealthcareService", offset, count)


@router.get("/HealthcareService/{unit_id}")
async def read_service(unit_id: str, request: Request, caller: Reader) -> FhirResponse:
    """Show a unit as a service."""
    return await _read(request, caller, "HealthcareService", unit_id)


async def _search(request: Request, caller: Principal, kind: fhir.Kind, offset: int, count: int) -> FhirResponse:
    resources = await _resources(request, caller, kind)
    return FhirResponse(fhir.bundle(resources, _base(request), kind, offset, count))


async def _read(request: Request, caller: Principal, kind: fhir.Kind, id_: str) -> FhirResponse:
    for resource in await _resources(request, caller, kind):
        if resource["id"] == id_:
            return FhirResponse(resource, headers={"ETag": f'W/"{resource["meta"]["versionId"]}"'})
    raise Problem("not-found")


async def _resources(request: Request, caller: Principal, kind: fhir.Kind) -> list[fhir.Resource]:
    database: Database = request.app.state.database
    now, make = datetime.now(UTC), fhir.MAKERS[kind]
    async with database.transaction() as session:
        units = await all_said(session, caller)
    return [resource for unit in units if (resource := make(unit, now)) is not None]


def _base(request: Request) -> str:
    return f"{request.base_url}fhir"
