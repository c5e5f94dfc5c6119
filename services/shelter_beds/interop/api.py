"""All routes by which other systems read units."""

from typing import Final

from services.shelter_beds.interop import fhir_api, hsds_api, spreadsheet_api

ROUTERS: Final = (hsds_api.router, fhir_api.router, spreadsheet_api.router)
