"""HTTP: referrals, what more there is to say about their clients, and their lifecycle."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, status
from sqlalchemy.ext.asyncio import AsyncSession

from services.kit.auth import Principal, Scope, requires
from services.kit.database import Database
from services.kit.idempotency import Once
from services.kit.pages import Page, PageRequest
from services.kit.problems import Problem
from services.kit.waiting import until
from services.referrals import intake, lifecycle, store, views
from services.referrals.bodies import (
    NewReferral,
    NewSegments,
    NewTransition,
    ReferralStatusView,
    ReferralView,
    ShownStatus,
)
from services.referrals.intake import Desk

router = APIRouter(tags=["referrals"])

Writer = Annotated[Principal, requires(Scope.REFERRALS_WRITE)]
Reader = Annotated[Principal, requires(Scope.REFERRALS_READ)]
Shown = ReferralView | ReferralStatusView

PATIENCE_SECONDS: Final = 2.0
"""How long an answer may wait for a decision that is on its way."""


@router.post("/referrals", status_code=status.HTTP_201_CREATED)
async def create_referral(body: NewReferral, request: Request, caller: Writer, once: Once) -> ReferralStatusView:
    """Publish a referral: one event for each member of the household, the need in the head of household's."""
    organization = caller.own_organization()
    if body.historical and Scope.REFERRALS_BACKFILL not in caller.scopes:
        raise Problem("insufficient-scope", "Needs referrals:backfill.", field="historical")
    return await once(
        caller, ReferralStatusView, lambda session: intake.request(session, _desk(request), organization, body)
    )


@router.get("/referrals")
async def list_referrals(
    request: Request,
    caller: Reader,
    page: PageRequest,
    shown_status: Annotated[ShownStatus | None, Query(alias="status")] = None,
) -> Page[Shown]:
    """List the referrals that the caller made or may know of."""
    query = store.views(caller.own_organization(), shown_status)
    async with _database(request).transaction() as session:
        rows = (await session.scalars(page.window(query, store.NAME))).all()
        shown = dict(zip((row.name for row in rows), await views.shown(session, rows), strict=True))
    return page.page(rows, lambda row: row.name, lambda row: shown[row.name])


@router.get("/referrals/{name}")
async def read_referral(name: str, request: Request, caller: Reader) -> Shown:
    """Show a referral: to its originator all but the boxes, to a recipient its status."""
    organization = caller.own_organization()
    await _require(request, lambda session: store.view(session, organization, name))
    await until(lambda: _settled(request, organization, name), PATIENCE_SECONDS)
    async with _database(request).transaction() as session:
        row = await store.view(session, organization, name)
        if row is None:
            raise Problem("not-found")
        return (await views.shown(session, [row]))[0]


@router.post("/referrals/{referral_id}/segments")
async def add_segments(
    referral_id: str, body: NewSegments, request: Request, caller: Writer, once: Once
) -> ReferralStatusView:
    """Say more about one client of one's own referral."""
    async with _database(request).transaction() as session:
        view = await store.view(session, caller.own_organization(), referral_id)
    if view is None or not view.is_originators:
        raise Problem("not-found")
    return await once(
        caller, ReferralStatusView, lambda session: intake.add_segments(session, _desk(request), referral_id, body)
    )


@router.post("/referrals/{name}/transitions")
async def create_transition(
    name: str, body: NewTransition, request: Request, caller: Writer, once: Once
) -> ReferralStatusView:
    """Move a referral to its next status: the originator cancels, the recipient does all the rest."""
    await _require(request, lambda session: lifecycle.known_name(session, caller, name))
    return await once(caller, ReferralStatusView, lambda session: lifecycle.transition(session, caller, name, body))


async def _require(request: Request, find: Callable[[AsyncSession], Awaitable[object | None]]) -> None:
    """Problem 404, but only once all is read that was decided by now: it may be about to let the caller know."""

    async def found() -> bool:
        async with _database(request).transaction() as session:
            return await find(session) is not None

    if not await found():
        await _desk(request).disclosures.reached(PATIENCE_SECONDS)
        if not await found():
            raise Problem("not-found")


async def _settled(request: Request, organization: str, name: str) -> bool | None:
    """True unless a recipient moved the referral and the decision to tell its originator is still on its way."""
    async with _database(request).transaction() as session:
        row = await store.view(session, organization, name)
        if row is None or not row.is_originators:
            return True
        referral = (await store.referrals(session, [row.referral_id]))[row.referral_id]
        return referral.status_version <= row.version or None


def _database(request: Request) -> Database:
    found: Database = request.app.state.database
    return found


def _desk(request: Request) -> Desk:
    found: Desk = request.app.state.desk
    return found
