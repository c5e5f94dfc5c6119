"""HTTP: from a hold to a referral, on the visitor's behalf. Nothing that is typed of a client stays here."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Final
from urllib.parse import quote
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from starlette.responses import Response

from schemas.codes import ProjectType
from services.kit.auth import Scope, signed_in
from services.kit.clients import DependencyDown
from services.kit.database import Database
from services.kit.keys import random_id
from services.kit.problems import Problem, invalid_body
from services.shelter_beds import holds
from services.shelter_beds.board import asking, holding, language, pages
from services.shelter_beds.board.referral_form import KeepingRoute, sent
from services.shelter_beds.board.sessions import Visitor
from services.shelter_beds.tables import Hold, Unit

router = APIRouter(route_class=KeepingRoute, include_in_schema=False)

Referrer = Annotated[Visitor, signed_in(Scope.REFERRALS_WRITE)]
Originator = Annotated[Visitor, signed_in(Scope.REFERRALS_READ)]
UTC: Final = ZoneInfo("UTC")
PURPOSE: Final = "shelter-placement"
HEAD_OF_HOUSEHOLD: Final = 1
SERVICES: Final[dict[int, str]] = {
    ProjectType.EMERGENCY_SHELTER_ENTRY_EXIT: "ES",
    ProjectType.EMERGENCY_SHELTER_NIGHT_BY_NIGHT: "ES",
    ProjectType.TRANSITIONAL_HOUSING: "TH",
    ProjectType.PERMANENT_SUPPORTIVE_HOUSING: "PSH",
    ProjectType.STREET_OUTREACH: "SO",
    ProjectType.SERVICES_ONLY: "SSO",
    ProjectType.SAFE_HAVEN: "SH",
    ProjectType.PERMANENT_HOUSING_ONLY: "OPH",
    ProjectType.PERMANENT_HOUSING_WITH_SERVICES: "OPH",
    ProjectType.DAY_SHELTER: "DAY",
    ProjectType.HOMELESSNESS_PREVENTION: "HP",
    ProjectType.RAPID_REHOUSING: "RRH",
    ProjectType.COORDINATED_ENTRY: "CE",
}


@router.post("/board/holds/{hold_id}/refer")
async def refer(request: Request, hold_id: str, visitor: Referrer) -> Response:
    """Refer whom the hold is for to its shelter, and let the hold end with the referral.

    When an answer is lost the referral may have been made: the form comes again with its key, so that sending it once
    more refers nobody twice.
    """
    sheet = await sent(request)
    if sheet is None:
        raise invalid_body("client_id", "must be there, as our page sends it")
    hold, unit = await holding.own(request, hold_id, visitor)
    if hold.referral_id is not None and hold.referral_key == sheet.key:
        return pages.to(f"/board/holds/{hold_id}")
    words = language.catalogue(language.chosen(request))
    refused = _refused(hold, unit, words)
    if refused:
        return await holding.shown(request, hold_id, visitor, {}, 409, replace(sheet, faults={"": refused}))
    try:
        answer = await asking.call(
            request, visitor, "referrals", "POST", "/referrals", body=_body(hold, unit, sheet.typed), key=sheet.once
        )
        if answer.is_success:
            return pages.to(await _ended(request, visitor, hold_id, str(answer.json()["id"]), sheet.key))
    except (DependencyDown, *Database.away):
        sheet, status = replace(sheet, faults={"": words("refer.unknown")}), 503
    else:
        problem = asking.problem_of(answer)
        sheet, status = replace(sheet, faults=pages.faults(words, problem)), answer.status_code
        if problem.name == "idempotency-key-reused":
            sheet = replace(sheet, once=random_id())
    return await holding.shown(request, hold_id, visitor, {}, status, sheet)


@router.get("/board/referrals/{referral_id}")
async def show_referral(request: Request, referral_id: str, visitor: Originator) -> Response:
    """Show what a shelter has of one of the organization's own referrals."""
    found = await asking.crossing(request, visitor, referral_id)
    if found is None:
        raise Problem("not-found")
    return pages.render(request, "referral.html", visitor, crossing=found, zone=UTC)


def _refused(hold: Hold, unit: Unit, words: language.Catalogue) -> str | None:
    """Say why nobody is referred from a hold, if so; nothing is sent then."""
    if hold.referral_id is not None:
        return words("problem.already-referred")
    return None if holding.may_be_told(hold, unit) else words("refer.unanswered")


async def _ended(request: Request, visitor: Visitor, hold_id: str, referral_id: str, key: bytes) -> str:
    """Let a hold be for its referral; returns the address of the page to show."""
    database: Database = request.app.state.database
    try:
        async with database.transaction() as session:
            await holds.refer(session, visitor.principal, hold_id, referral_id, key)
    except Problem:  # the hold has ended meanwhile: the referral stands by itself
        return f"/board/referrals/{quote(referral_id)}"
    return f"/board/holds/{hold_id}"


def _body(hold: Hold, unit: Unit, typed: Mapping[str, str]) -> dict[str, Any]:
    identity = {name: typed[name] for name in ("first_name", "last_name", "dob") if typed[name]}
    size = typed["household_size"]
    return {
        "members": [
            {
                "client_id": typed["client_id"],
                "relationship_to_hoh": HEAD_OF_HOUSEHOLD,
                "segments": {"identity": identity} if identity else {},
            }
        ],
        "to": {"organization": unit.organization, "project": unit.project},
        "service": SERVICES.get(unit.project_type, "ES"),
        "purpose": PURPOSE,
        "need": {
            "household_type": unit.profile["household_type"],
            "household_size": int(size) if size.isascii() and size.isdigit() and len(size) < 4 else size,
            "beds": hold.bed_count,
            **{name: True for name in ("accessible", "pets") if typed[name]},
        },
        "call_back": typed["call_back"],
    }
