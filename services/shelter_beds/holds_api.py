"""HTTP: holds, from taking a bed to the door."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, status
from sqlmodel import col

from services.kit.auth import Principal, Scope, requires
from services.kit.database import Database
from services.kit.idempotency import Once
from services.kit.pages import Page, PageRequest
from services.kit.problems import Problem
from services.shelter_beds import bodies, holds, store
from services.shelter_beds.door_codes import heard
from services.shelter_beds.model import HoldState
from services.shelter_beds.tables import Hold
from services.shelter_beds.turns import Turns

router = APIRouter(tags=["holds"])

Holder = Annotated[Principal, requires(Scope.HOLDS_WRITE)]
Shelter = Annotated[Principal, requires(Scope.BEDS_WRITE)]
Either = Annotated[Principal, requires(Scope.HOLDS_WRITE, Scope.BEDS_WRITE)]


@router.post("/holds", status_code=status.HTTP_201_CREATED)
async def create_hold(body: bodies.NewHold, request: Request, caller: Holder, once: Once) -> bodies.HoldView:
    """Hold free beds of a unit, or ask its shelter for them; the answer has the code to say at the door."""
    turns: Turns = request.app.state.turns
    return await turns.place(once, caller, body)


@router.get("/holds")
async def list_holds(
    request: Request,
    caller: Either,
    page: PageRequest,
    unit_id: Annotated[str | None, Query(max_length=64)] = None,
    state: HoldState | None = None,
    door_code: Annotated[str | None, Query(max_length=32)] = None,
) -> Page[bodies.HoldView]:
    """List the caller's holds, and those at the desks where it acts."""
    organization = caller.own_organization()
    code = heard(door_code) if door_code is not None else None
    if door_code is not None and code is None:
        raise Problem("invalid-parameter", "must be a door code, such as BLUE-42", field="door_code")
    query = store.holds(caller, unit_id, state, code)
    async with _database(request).transaction() as session:
        rows = (await session.scalars(page.window(query, col(Hold.id)))).all()
    return page.page(rows, lambda row: row.id, lambda row: holds.view(row, organization))


@router.get("/holds/{hold_id}")
async def read_hold(hold_id: str, request: Request, caller: Either) -> bodies.HoldView:
    """Show a hold to its holder and its shelter."""
    async with _database(request).transaction() as session:
        hold = await store.hold(session, hold_id)
        is_own = hold.holder == caller.own_organization()
        await (store.unit if is_own else store.unit_at_the_desk)(session, caller, hold.unit_id)
        return holds.view(hold, caller.organization)


@router.patch("/holds/{hold_id}")
async def refer_hold(hold_id: str, body: bodies.HoldChange, request: Request, caller: Holder) -> bodies.HoldView:
    """Say for which of the caller's referrals a live hold is: when that comes to nothing, the hold ends too."""
    async with _database(request).transaction() as session:
        return await holds.refer(session, caller, hold_id, body.referral_id)


@router.delete("/holds/{hold_id}")
async def delete_hold(hold_id: str, request: Request, caller: Either) -> bodies.HoldView:
    """Let a hold go, as its holder or its shelter."""
    async with _database(request).transaction() as session:
        return await holds.let_go(session, caller, hold_id)


@router.post("/holds/{hold_id}/answer")
async def answer_hold(hold_id: str, body: bodies.HoldAnswer, request: Request, caller: Shelter) -> bodies.HoldView:
    """Say yes to a hold that was asked for, which takes the beds, or no."""
    async with _database(request).transaction() as session:
        return await holds.answer(session, caller, hold_id, body)


@router.post("/holds/{hold_id}/extension")
async def extend_hold(hold_id: str, caller: Holder, once: Once) -> bodies.HoldView:
    """Let a hold last once more as long, from now."""
    return await once(caller, bodies.HoldView, lambda session: holds.extend(session, caller, hold_id))


@router.post("/holds/{hold_id}/check-in")
async def check_in(hold_id: str, body: bodies.CheckIn, caller: Shelter, once: Once) -> bodies.HoldView:
    """Say that whom a hold is for is there."""
    return await once(caller, bodies.HoldView, lambda session: holds.check_in(session, caller, hold_id, body))


def _database(request: Request) -> Database:
    found: Database = request.app.state.database
    return found
