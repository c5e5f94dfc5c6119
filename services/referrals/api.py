"""HTTP: referrals, what more there is to say about their clients, and their lifecycle."""

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
from services.referrals.tables import View

router = APIRouter(tags=["referrals"])

Writer = Annotated[Principal, requires(Scope.REFERRALS_WRITE)]
Reader = Annotated[Principal, requires(Scope.REFERRALS_READ)]
Shown = ReferralView | ReferralStatusView

PATIENCE_SECONDS: Final = 2.0
"""How long an answer may wait for a decision that is on its way."""
FRESH_SECONDS: Final = 1.0
"""How long an answer that is there may wait for a newer one: while the log is away it is as good as any."""


@router.post("/referrals", status_code=status.HTTP_201_CREATED)
async def create_referral(body: NewReferral, request: Request, caller: Writer, once: Once) -> ReferralStatusView:
    """Publish a referral: one event for each member of the household, the need in the head of household's."""
    organization = caller.own_organization()
    if body.historical and Scope.REFERRALS_BACKFILL not in caller.scopes:
        raise Problem("insufficient-scope", "Needs referrals:backfill.", field="historical")
    desk = _desk(request)
    made = await once.directly(
        caller, ReferralStatusView, lambda transaction: intake.request(transaction, desk, organization, body)
    )
    desk.relay.wake()
    return made


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
    shown = await _shown(request, organization, name, only_if_settled=True)
    if shown is not None and not isinstance(shown, ReferralView):
        # What a webhook has just told a recipient, it must find here too: webhooks may be faster than our reader.
        await _desk(request).disclosures.reached(FRESH_SECONDS)
        shown = await _shown(request, organization, name)
    if shown is None:
        await _wait_settled(request, organization, name)
        shown = await _shown(request, organization, name)
    if shown is None:
        raise Problem("not-found")
    return shown


@router.post("/referrals/{referral_id}/segments")
async def add_segments(
    referral_id: str, body: NewSegments, request: Request, caller: Writer, once: Once
) -> ReferralStatusView:
    """Say more about one client of one's own referral."""
    organization = caller.own_organization()
    return await once(
        caller,
        ReferralStatusView,
        lambda session: intake.add_segments(session, _desk(request), organization, referral_id, body),
    )


@router.post("/referrals/{name}/transitions")
async def create_transition(
    name: str, body: NewTransition, request: Request, caller: Writer, once: Once
) -> ReferralStatusView:
    """Move a referral to its next status: the originator cancels, the recipient does all the rest.

    `entered_in_error`, of whatever status, is the originator's too: who knows the referral is to withdraw its copy.

    A recipient moves it under the name by which it was told of the head of household.
    """

    async def move(session: AsyncSession) -> ReferralStatusView:
        return await lifecycle.transition(session, caller, name, body)

    try:
        return await once(caller, ReferralStatusView, move)
    except lifecycle.Unsettled:
        await _wait_settled(request, caller.own_organization(), name)
        return await once(caller, ReferralStatusView, move)


async def _shown(request: Request, organization: str, name: str, *, only_if_settled: bool = False) -> Shown | None:
    async with _database(request).transaction() as session:
        row = await store.view(session, organization, name)
        if row is None or (only_if_settled and await _may_change(session, row)):
            return None
        return (await views.shown(session, [row], name))[0]


async def _may_change(session: AsyncSession, row: View) -> bool:
    """A member's row answers to the id only until the recipient has it for the head of household too."""
    return row.is_members or (row.is_originators and await store.unsettled(session, row.organization, row.name))


async def _wait_settled(request: Request, organization: str, name: str) -> None:
    """Wait until all is read that was decided by now, and no word is known to be on its way.

    The caller may have just been told of the referral, or of its head of household, by this name.
    """

    async def settled() -> bool | None:
        async with _database(request).transaction() as session:
            return not await store.unsettled(session, organization, name) or None

    await _desk(request).disclosures.reached(PATIENCE_SECONDS)
    await until(settled, PATIENCE_SECONDS)


def _database(request: Request) -> Database:
    found: Database = request.app.state.database
    return found


def _desk(request: Request) -> Desk:
    found: Desk = request.app.state.desk
    return found
