"""HTTP: the units as a table for spreadsheet programs."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from services.kit.database import Database
from services.shelter_beds.api import Reader
from services.shelter_beds.interop.spreadsheet import table
from services.shelter_beds.interop.units import all_said

router = APIRouter(tags=["beds"])

_HEADERS = {"Content-Disposition": 'attachment; filename="availability.csv"', "Cache-Control": "no-store"}


class CsvResponse(Response):
    """A table in UTF-8."""

    media_type = "text/csv; header=present"


@router.get("/availability.csv", response_class=CsvResponse)
async def read_table(request: Request, caller: Reader) -> CsvResponse:
    """Give what is public of all units as CSV (RFC 4180), with the columns of GET /availability."""
    database: Database = request.app.state.database
    async with database.transaction() as session:
        return CsvResponse(table(await all_said(session, caller)), headers=_HEADERS)
