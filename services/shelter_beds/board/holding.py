"""HTTP: from a unit's card to a hold, and what its holder may do with it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.kit.auth import Scope, signed_in
from services.kit.database import Database
from services.kit.idempotency import Creation
from services.kit.keys import random_id
from services.kit.problems import Problem
from services.shelter_beds import bodies, holds, saying, store
from services.shelter_beds.board import asking, cards, language, pages
from services.shelter_beds.board.contacts import Contacts
from services.shelter_beds.board.referral_form import KeepingRoute, Sheet, sent
from services.shelter_beds.board.sessions import CookieSessions, Visitor
from services.shelter_beds.board.typed import read, text
from services.shelter_beds.feed.filters import EVERYTHING_OF
from services.shelter_beds.feed.view import Availability
from services.shelter_beds.model import LIVE
from services.shelter_beds.tables import Hold, Unit
from services.shelter_beds.turns import Turns

router = APIRouter(route_class=KeepingRoute, include_in_schema=False)

Holder = Annotated[Visitor, signed_in(Scope.HOLDS_WRITE)]


@router.get("/board/units/{unit_id}/hold")
async def ask_hold(request: Request, unit_id: str, visitor: Holder) -> Response:
    """Ask for how long, and how many beds."""
    card = _card(request, visitor, unit_id)
    beds = request.query_params.get("beds", "")
    wanted = {"beds": beds if beds.isascii() and beds.isdigit() else "1"}
    return _form(request, visitor, card, wanted, {})


@router.post("/board/units/{unit_id}/hold")
async def place_hold(request: Request, unit_id: str, visitor: Holder) -> Response:
    """Hold beds, and show the hold; once, however often the form is sent."""
    form = await request.form()
    try:
        typed = {"unit_id": unit_id, "beds": text(form, "beds"), "minutes": text(form, "minutes")}
        body = read(bodies.NewHold, typed)
        once = Creation(request, Response(), text(form, "once")[:255] or None, body.model_dump_json().encode())
        turns: Turns = request.app.state.turns
        hold = await turns.place(once, visitor.principal, body)
    except Problem as problem:
        card = _card(request, visitor, unit_id)
        wanted = {name: text(form, name) for name in ("beds", "minutes")}
        return _form(request, visitor, card, wanted, _faults(request, problem, card), problem.type.status)
    return pages.to(f"/board/holds/{hold.id}")


@router.get("/board/holds/{hold_id}")
async def show_hold(request: Request, hold_id: str, visitor: Holder) -> Response:
    """Show a hold to its holder: the code to say at the door, how long it lasts, and what the shelter was told.

    Until it was told of anybody, there is the form to do so.
    """
    return await shown(request, hold_id, visitor, {})


@router.post("/board/holds/{hold_id}/extension")
async def extend(request: Request, hold_id: str, visitor: Holder) -> Response:
    """Let a hold last once more as long."""
    return await _changed(request, hold_id, visitor, holds.extend)


@router.post("/board/holds/{hold_id}/cancel")
async def cancel(request: Request, hold_id: str, visitor: Holder) -> Response:
    """Give the beds back."""
    return await _changed(request, hold_id, visitor, holds.let_go)


async def own(request: Request, hold_id: str, visitor: Visitor) -> tuple[Hold, Unit]:
    """Return a hold of the visitor's organization, and its unit; Problem 404."""
    database: Database = request.app.state.database
    async with database.transaction() as session:
        hold = await store.hold(session, hold_id)
        if hold.holder != visitor.session.organization:
            raise Problem("not-found")
        return hold, await store.unit(session, visitor.principal, hold.unit_id)


def may_be_told(hold: Hold, unit: Unit) -> bool:
    """Whether the holder may learn where a hold is, as whoever refers somebody there does: its project.

    Of a confidential unit not by asking for a bed, before it said yes.
    """
    return hold.placed_at is not None or not unit.profile["confidential"]


async def shown(
    request: Request,
    hold_id: str,
    visitor: Visitor,
    faults: Mapping[str, str],
    status: int = 200,
    sheet: Sheet | None = None,
) -> Response:
    """Make the page of a hold; `sheet` is what was typed already, which stays though the hold has ended."""
    hold, unit = await own(request, hold_id, visitor)
    sessions: CookieSessions = request.app.state.sessions
    contacts: Contacts = request.app.state.contacts
    is_live = hold.state in LIVE and hold.expires_at > datetime.fromtimestamp(sessions.clock(), UTC)
    if sheet is not None and hold.referral_id is not None and hold.referral_key == sheet.key:
        sheet = None  # what was typed is with the shelter
    may_ask = hold.referral_id is None and is_live and may_be_told(hold, unit)
    asks = visitor.may(Scope.REFERRALS_WRITE) and (may_ask or sheet is not None)
    return pages.render(
        request,
        "hold.html",
        visitor,
        status,
        hold=hold,
        is_live=is_live,
        public=saying.shown_to_holders(unit),
        zone=ZoneInfo(unit.profile["time_zone"]),
        crossing=await asking.crossing(request, visitor, hold.referral_id) if hold.referral_id else None,
        faults=faults,
        asks=asks,
        is_kept=sheet is not None,
        sheet=sheet or Sheet.new(hold.bed_count),
        contacts=await contacts.of(request, visitor) if asks else None,
    )


async def _changed(request: Request, hold_id: str, visitor: Visitor, change: Any) -> Response:  # noqa: ANN401
    sheet = await sent(request)
    database: Database = request.app.state.database
    try:
        async with database.transaction() as session:
            await change(session, visitor.principal, hold_id)
    except Problem as problem:
        if problem.name == "not-found":
            raise
        words = language.catalogue(language.chosen(request))
        return await shown(request, hold_id, visitor, pages.faults(words, problem), problem.type.status, sheet)
    return await shown(request, hold_id, visitor, {}, sheet=sheet) if sheet else pages.to(f"/board/holds/{hold_id}")


def _card(request: Request, visitor: Visitor, unit_id: str) -> cards.Card:
    sessions: CookieSessions = request.app.state.sessions
    view: Availability = request.app.state.availability
    unit = view.get(unit_id, EVERYTHING_OF[visitor.principal.test])
    if unit is None:
        raise Problem("not-found")
    return cards.card(unit, sessions.clock())


def _faults(request: Request, problem: Problem, card: cards.Card) -> dict[str, str]:
    words = language.catalogue(language.chosen(request))
    return pages.faults(words, problem, most=card.unit.maximum_hold_minutes or 0)


def _form(
    request: Request,
    visitor: Visitor,
    card: cards.Card,
    wanted: dict[str, str],
    faults: dict[str, str],
    status: int = 200,
) -> Response:
    choices, usual = cards.minutes_for(card.unit.maximum_hold_minutes or cards.USUAL_MINUTES)
    return pages.render(
        request,
        "hold_form.html",
        visitor,
        status,
        card=card,
        choices=choices,
        wanted={"minutes": str(usual)} | wanted,
        faults=faults,
        once=random_id(),
    )
