"""HTTP: the desk, where a shelter says how many beds are free, answers, and lets people in; also for a delegate."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from services.kit import database as kit_database
from services.kit.auth import Scope, signed_in
from services.kit.database import Database
from services.kit.problems import Problem, invalid_body
from services.shelter_beds import bodies, holds, store, units
from services.shelter_beds.board import language, pages
from services.shelter_beds.board.sessions import Visitor
from services.shelter_beds.board.typed import read, text
from services.shelter_beds.door_codes import heard
from services.shelter_beds.tables import Hold, Unit

router = APIRouter(route_class=pages.PageRoute, include_in_schema=False)

Shelter = Annotated[Visitor, signed_in(Scope.BEDS_WRITE)]
AGAIN_WITHIN: Final = timedelta(minutes=10)
"""For how long a code that is said again means who came in with it, not a wrong code."""


@router.get("/board/desk")
async def desk(request: Request, visitor: Shelter) -> Response:
    """Show a unit's desk; where the visitor has several, the one that `?unit=` names."""
    return await _shown(request, visitor, request.query_params.get("unit", ""))


@router.post("/board/desk/{unit_id}/census")
async def say(request: Request, unit_id: str, visitor: Shelter) -> Response:
    """Say how many beds are free, as of now."""
    form = await request.form()

    async def change(session: AsyncSession) -> str:
        if not text(form, "available"):
            raise invalid_body("number", "must be pressed")
        said = {
            "available": text(form, "available"),
            "as_of": await kit_database.now(session),
            "includes_holds": text(form, "includes_holds") == "true",
        }
        census = await units.count(session, visitor.principal, unit_id, read(bodies.NewCensus, said))
        if (text(form, "held") or "0") != str(census.held):  # then whoever counted was not asked about them
            raise invalid_body("held", "must be the number of beds on hold now")
        return "said"

    return await _changed(request, visitor, unit_id, change)


@router.post("/board/desk/{unit_id}/holds/{hold_id}/answer")
async def answer(request: Request, unit_id: str, hold_id: str, visitor: Shelter) -> Response:
    """Say yes or no to a hold that is asked for."""
    accept = text(await request.form(), "accept") == "true"

    async def change(session: AsyncSession) -> str:
        await holds.answer(session, visitor.principal, hold_id, bodies.HoldAnswer(accept=accept))
        return "accepted" if accept else "refused"

    async def done_before(session: AsyncSession) -> str | None:
        hold = await _hold_here(session, visitor, unit_id, hold_id)
        if accept:
            return "accepted" if hold.state == "placed" else None
        return "refused" if hold.reason == "refused" else None

    return await _changed(request, visitor, unit_id, change, done_before)


@router.post("/board/desk/{unit_id}/holds/{hold_id}/release")
async def release(request: Request, unit_id: str, hold_id: str, visitor: Shelter) -> Response:
    """Let a hold go."""

    async def change(session: AsyncSession) -> str:
        await holds.let_go(session, visitor.principal, hold_id)
        return "released"

    async def done_before(session: AsyncSession) -> str | None:
        hold = await _hold_here(session, visitor, unit_id, hold_id)
        return "released" if hold.state == "released" else None

    return await _changed(request, visitor, unit_id, change, done_before)


@router.post("/board/desk/{unit_id}/check-in")
async def check_in(request: Request, unit_id: str, visitor: Shelter) -> Response:
    """Let in who says a door code."""
    code = heard(text(await request.form(), "door_code"))

    async def change(session: AsyncSession) -> str:
        await store.unit_at_the_desk(session, visitor.principal, unit_id)
        found = [hold for hold in await store.live_holds(session, unit_id) if hold.door_code == code]
        if code is None or not found:
            raise Problem("wrong-door-code", field="door_code")
        await holds.check_in(session, visitor.principal, found[0].id, bodies.CheckIn(door_code=code))
        return "checked_in"

    async def done_before(session: AsyncSession) -> str | None:
        await store.unit_at_the_desk(session, visitor.principal, unit_id)
        recent = await store.holds_since(session, unit_id, await kit_database.now(session) - AGAIN_WITHIN)
        came = [hold for hold in recent if hold.state == "checked_in" and hold.door_code == code]
        return "checked_in" if came else None

    return await _changed(request, visitor, unit_id, change, done_before)


async def _hold_here(session: AsyncSession, visitor: Visitor, unit_id: str, hold_id: str) -> Hold:
    await store.unit_at_the_desk(session, visitor.principal, unit_id)
    hold = await store.hold(session, hold_id)
    if hold.unit_id != unit_id:
        raise Problem("not-found")
    return hold


Change = Callable[[AsyncSession], Awaitable[str]]
DoneBefore = Callable[[AsyncSession], Awaitable[str | None]]


async def _changed(
    request: Request, visitor: Visitor, unit_id: str, change: Change, done_before: DoneBefore | None = None
) -> Response:
    """Make a change and show the desk again, with what was done, or with what is wrong beside its field.

    A button that was pressed twice did what it says: `done_before` tells so.
    """
    database: Database = request.app.state.database
    try:
        async with database.transaction() as session:
            done = await change(session)
    except Problem as problem:
        if problem.name == "not-found":
            raise
        async with database.transaction() as session:
            before = await done_before(session) if done_before else None
        if before:
            return pages.to(f"/board/desk?unit={unit_id}&done={before}")
        words = language.catalogue(language.chosen(request))
        return await _shown(request, visitor, unit_id, pages.faults(words, problem), problem.type.status)
    return pages.to(f"/board/desk?unit={unit_id}&done={done}")


async def _shown(
    request: Request,
    visitor: Visitor,
    unit_id: str,
    faults: dict[str, str] | None = None,
    status: int = 200,
) -> Response:
    database: Database = request.app.state.database
    async with database.transaction() as session:
        own = sorted((await session.scalars(store.units(visitor.principal))).all(), key=_name)
        unit = next((each for each in own if each.id == unit_id), own[0] if own and not unit_id else None)
        if unit is None and own:
            raise Problem("not-found")
        beds = units.view(unit, await store.beds(session, unit.id)) if unit else None
        live = await store.live_holds(session, unit.id) if unit else []
        now: datetime = await kit_database.now(session)
    open_holds = [hold for hold in live if hold.expires_at > now]
    return pages.render(
        request,
        "desk.html",
        visitor,
        status,
        units=own,
        unit=unit,
        view=beds,
        asked=[hold for hold in open_holds if hold.state == "requested"],
        placed=[hold for hold in open_holds if hold.state == "placed"],
        held_beds=sum(len(hold.bed_ids) for hold in open_holds),
        zone=ZoneInfo(unit.profile["time_zone"] if unit else "UTC"),
        done=request.query_params.get("done", ""),
        faults=faults or {},
    )


def _name(unit: Unit) -> tuple[str, str]:
    return str(unit.profile["name"]).casefold(), unit.id
