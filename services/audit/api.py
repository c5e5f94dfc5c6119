"""HTTP: the decisions an organization took part in, and the accounting of what of a client was disclosed."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from schemas.disclosures import Verdict
from services.audit import bodies, model, store
from services.audit.pseudonyms import Pseudonyms
from services.audit.tables import Decision
from services.kit.auth import Principal, Scope, requires
from services.kit.database import Database
from services.kit.pages import Page, PageRequest, Paging
from services.kit.problems import Problem

router = APIRouter()

Reader = Annotated[Principal, requires(Scope.AUDIT_READ, Scope.AUDIT_READ_ALL)]
Party = Annotated[Principal, requires(Scope.AUDIT_READ)]
IdOf = Query(min_length=1, max_length=64)


@router.get("/decisions", response_model_exclude_unset=True)
async def list_decisions(
    request: Request,
    caller: Reader,
    page: PageRequest,
    client_id: Annotated[str | None, IdOf] = None,
    recipient: Annotated[str | None, IdOf] = None,
    verdict: Verdict | None = None,
) -> Page[bodies.Decision]:
    """List decisions in the order in which they were recorded.

    An organization reads those it published, and those of which something was delivered to it. With `audit:read-all`
    all are read, and each client has a pseudonym.
    """
    wanted = store.Wanted(client_id, recipient, verdict)
    everybodys = Scope.AUDIT_READ_ALL in caller.scopes
    async with _database(request).transaction() as session:
        if recipient is not None:
            await store.check_known(session, "recipient", recipient)
        return await (
            _everybodys(request, session, page, wanted) if everybodys else _own(caller, session, page, wanted)
        )


async def _everybodys(
    request: Request, session: AsyncSession, page: Paging, wanted: store.Wanted
) -> Page[bodies.Decision]:
    pseudonyms: Pseudonyms = request.app.state.pseudonyms
    rows = (await session.scalars(page.window(store.of_everybody(wanted), col(Decision.number)))).all()
    errors = await store.errors(session, [row.id for row in rows], None)

    def seen(row: Decision) -> bodies.Decision:
        return model.flagged(model.seen_by_auditor(row, pseudonyms(row.client_id)), errors[row.id])

    return page.page(rows, _number, seen)


async def _own(caller: Principal, session: AsyncSession, page: Paging, wanted: store.Wanted) -> Page[bodies.Decision]:
    organization = caller.own_organization()
    query = page.window(store.own(organization, wanted), col(Decision.number))
    rows = (await session.execute(query)).all()
    errors = await store.errors(session, [row[0].id for row in rows], organization)

    def seen(row: Row[Decision, bool]) -> bodies.Decision:
        decision, knows = row
        return model.flagged(model.seen_by(organization, decision, knows=knows), errors[decision.id])

    return page.page(rows, lambda row: _number(row[0]), seen)


@router.get("/clients/{client_id}/disclosures", response_model_exclude_unset=True)
async def account_for_disclosures(
    client_id: Annotated[str, Path(min_length=1, max_length=64)], request: Request, caller: Party, page: PageRequest
) -> Page[bodies.Disclosure]:
    """List what of a client the caller disclosed or was given: when, to whom, what, why, and what became of it.

    What went out under a consent that was entered in error since is flagged.
    """
    organization = caller.own_organization()
    async with _database(request).transaction() as session:
        query = page.window(store.accounting(organization, client_id), col(Decision.number))
        rows = (await session.scalars(query)).all()
        if not rows and not await store.is_party(session, organization, client_id):
            raise Problem("not-found")
        deliveries = await store.deliveries(session, [row.id for row in rows])
        errors = await store.errors(session, [row.id for row in rows], organization)
        in_error = await store.entered_in_error(session, organization, {row.referral_id for row in rows})

    def line(row: Decision) -> bodies.Disclosure:
        told = model.flagged(model.accounted_to(organization, row, deliveries.get(row.id, ())), errors[row.id])
        return told.model_copy(update={"referral_entered_in_error": True}) if row.referral_id in in_error else told

    return page.page(rows, _number, line)


def _number(decision: Decision) -> int:
    if decision.number is None:
        raise ValueError("a decision that is not stored")
    return decision.number


def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database
