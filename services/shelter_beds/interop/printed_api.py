"""HTTP: the list to print."""

from datetime import UTC, datetime

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from services.kit.database import Database
from services.shelter_beds.api import Reader
from services.shelter_beds.interop.printed import POLICY, Language, preferred, sheet
from services.shelter_beds.interop.units import all_said

router = APIRouter(tags=["beds"])

_HEADERS = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store", "Vary": "Accept-Language"}


@router.get("/availability.html", response_class=HTMLResponse)
async def read_sheet(request: Request, caller: Reader, lang: Language | None = None) -> HTMLResponse:
    """Give what is public of all units as a page to print, in English or Spanish."""
    del caller
    database: Database = request.app.state.database
    language = preferred(lang, request.headers.get("accept-language", ""))
    async with database.transaction() as session:
        units = await all_said(session)
    return HTMLResponse(sheet(units, datetime.now(UTC), language), headers=_HEADERS)
