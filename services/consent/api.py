"""HTTP: clients, consents, revocations and their receipts."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response, status
from sqlalchemy.ext.asyncio import AsyncSession

from schemas.events import Revocation
from schemas.records import ConsentEnteredInError, ConsentRevoked
from services.consent import bodies, clients, model, receipts, store
from services.consent.organizations import Organizations
from services.kit.auth import Principal, Scope, requires
from services.kit.bodies import Writing
from services.kit.database import Database
from services.kit.idempotency import Once
from services.kit.keys import random_id
from services.kit.pages import Page, PageRequest
from services.kit.problems import Problem, invalid_body
from services.kit.waiting import Wait, until

router = APIRouter()

ClientWriter = Annotated[Principal, requires(Scope.CLIENTS_WRITE)]
ConsentWriter = Annotated[Principal, requires(Scope.CONSENTS_WRITE)]
ConsentReader = Annotated[Principal, requires(Scope.CONSENTS_READ)]
Revoker = Annotated[Principal, requires(Scope.CONSENTS_REVOKE)]
ReceiptReader = Annotated[Principal, requires(Scope.CONSENTS_REVOKE, Scope.CONSENTS_READ)]
Which = Annotated[bodies.Id | None, Query(description="The newest one of the caller's, if none is named.")]

NOT_YET: dict[int | str, dict[str, Any]] = {
    202: {"model": bodies.Receipt, "description": "Not effective yet; Location says where to watch."}
}
T = TypeVar("T")


@router.post("/clients", status_code=status.HTTP_201_CREATED)
async def create_client(body: bodies.NewClient, request: Request, caller: ClientWriter, once: Once) -> bodies.Client:
    """Register a person for the caller's organization: known here or not, the answer looks the same."""
    organization, organizations = caller.own_organization(), organizations_of(request)
    identifiers = await organizations.known_as(organization, body.identifiers)
    new = await clients.new_keys(organizations.encryption)

    async def register(session: AsyncSession) -> bodies.Client:
        return bodies.Client(client_id=await clients.register(session, organization, identifiers, new))

    return await once(caller, bodies.Client, register)


@router.post("/clients/{client_id}/registration", status_code=status.HTTP_201_CREATED)
async def confirm_client(client_id: str, caller: ClientWriter, once: Once) -> bodies.Client:
    """Register a client whose id a permit gave to the caller's organization."""
    organization = caller.own_organization()

    async def confirm(session: AsyncSession) -> bodies.Client:
        await clients.confirm(session, organization, client_id)
        return bodies.Client(client_id=client_id)

    return await once(caller, bodies.Client, confirm)


@router.post("/consents", status_code=status.HTTP_201_CREATED)
async def create_consent(
    body: bodies.NewConsent, request: Request, caller: ConsentWriter, once: Once, wait: Wait
) -> bodies.Consent:
    """Record what a client permits, refuses or excludes; the discloser is the caller's organization.

    To permit takes having registered the client; to narrow, knowing it at all. `Prefer: wait` waits for `accepted`.
    """
    recorder = caller.own_organization()
    await check(body, recorder, organizations_of(request))
    consent_id = random_id()

    async def record(session: AsyncSession) -> bodies.Made:
        client = await clients.lock(session, recorder, body.client_id)
        if body.decision == "permit" and client.via != "registered":
            raise Problem("not-found")
        change = model.consent_change(client, body, consent_id=consent_id, recorder=recorder)
        await store.add_consent(session, client, change, body, recorder=recorder)
        return bodies.Made(id=consent_id)

    made = await once(caller, bodies.Made, record)

    async def look(session: AsyncSession) -> bodies.Consent:
        return await store.own_consent(session, recorder, made.id)

    return await watched(request, look, lambda consent: consent.state == "accepted", wait)


@router.get("/consents/{consent_id}")
async def read_consent(consent_id: str, request: Request, caller: ConsentReader) -> bodies.Consent:
    """Show a consent that the caller's organization recorded."""
    async with database_of(request).transaction() as session:
        return await store.own_consent(session, caller.own_organization(), consent_id)


@router.get("/consents")
async def list_consents(
    request: Request, caller: ConsentReader, page: PageRequest, client_id: bodies.Id | None = None
) -> Page[bodies.Consent]:
    """List the consents that the caller's organization recorded, the oldest first."""
    async with database_of(request).transaction() as session:
        return await store.page(session, caller.own_organization(), client_id, page)


@router.post("/consents/{consent_id}/revocation", responses=NOT_YET)
async def revoke_consent(
    consent_id: str,
    body: bodies.NewRevocation,
    request: Request,
    response: Response,
    caller: Revoker,
    once: Once,
    wait: Wait,
) -> bodies.Receipt:
    """Revoke a consent that the caller's organization recorded; effective at once, for every discloser in the scope."""
    desk = caller.own_organization()
    revocation = model.to_revocation(body, random_id(), consent_id)
    await _require_recipient(revocation, organizations_of(request))

    async def record(session: AsyncSession) -> bodies.Made:
        return await _revoke_own(session, desk, consent_id, revocation, body, ConsentRevoked)

    made = await once(caller, bodies.Made, record)
    return await _receipt(request, response, desk, made.id, wait)


@router.post("/consents/{consent_id}/entered-in-error", responses=NOT_YET)
async def enter_in_error(
    consent_id: str,
    body: bodies.NewError,
    request: Request,
    response: Response,
    caller: Revoker,
    once: Once,
    wait: Wait,
) -> bodies.Receipt:
    """Say that a consent that the caller's organization recorded should never have been.

    Effective at once and for ever, in every version, as a revocation of it; GET /consents/{consent_id}/revocation
    shows the receipt. Who was told anything under it is asked to withdraw its copy.
    """
    desk = caller.own_organization()
    error = model.to_error(body, random_id(), consent_id)

    async def record(session: AsyncSession) -> bodies.Made:
        return await _revoke_own(session, desk, consent_id, error, body, ConsentEnteredInError)

    made = await once(caller, bodies.Made, record)
    watch = request.app.url_path_for("read_revocation_of_consent", consent_id=consent_id)
    return await _receipt(request, response, desk, made.id, wait, watch=watch)


@router.post("/clients/{client_id}/revocation", responses=NOT_YET)
async def revoke_for_client(
    client_id: str,
    body: bodies.NewRevocation,
    request: Request,
    response: Response,
    caller: Revoker,
    once: Once,
    wait: Wait,
) -> bodies.Receipt:
    """Stop what is shared about a client, at any desk that knows the client, for every discloser, at once."""
    desk = caller.own_organization()
    revocation = model.to_revocation(body, random_id(), None)
    await _require_recipient(revocation, organizations_of(request))

    async def record(session: AsyncSession) -> bodies.Made:
        client = await clients.lock(session, desk, client_id)
        await _require_revocable(session, client_id, revocation)
        change = model.revocation_change(client, revocation, actor=body.actor, desk=desk)
        await store.add_revocation(session, client, change, desk=desk, consent_id=revocation.consent_id)
        return bodies.Made(id=revocation.id)

    made = await once(caller, bodies.Made, record)
    return await _receipt(request, response, desk, made.id, wait)


@router.get("/consents/{consent_id}/revocation")
async def read_revocation_of_consent(
    consent_id: str, request: Request, caller: ReceiptReader, wait: Wait, revocation_id: Which = None
) -> bodies.Receipt:
    """Show what has become of a revocation of a consent that the caller's organization recorded."""

    async def look(session: AsyncSession) -> bodies.Receipt:
        return await receipts.of_consent(session, caller.own_organization(), consent_id, revocation_id)

    return await watched(request, look, _is_effective, wait)


@router.get("/clients/{client_id}/revocation")
async def read_revocation_for_client(
    client_id: str, request: Request, caller: ReceiptReader, wait: Wait, revocation_id: Which = None
) -> bodies.Receipt:
    """Show what has become of a revocation for a client that the caller's organization recorded."""

    async def look(session: AsyncSession) -> bodies.Receipt:
        return await receipts.of_client(session, caller.own_organization(), client_id, revocation_id)

    return await watched(request, look, _is_effective, wait)


async def check(body: bodies.NewConsent, recorder: str, organizations: Organizations) -> None:
    """Refuse, before anything is locked, what has nothing to do with the client."""
    model.check_consent(body, recorder)
    await organizations.require({f"to.{position}": one for position, one in enumerate(body.to)})
    if body.decision == "permit" and await organizations.is_victim_service_provider(recorder):
        model.check_release(body)
    if body.attested and not await organizations.may_attest(recorder):
        raise invalid_body("attested", "is not for a victim service provider, nor for who has a Part 2 project")


async def _revoke_own(
    session: AsyncSession,
    desk: str,
    consent_id: str,
    revocation: Revocation,
    body: Writing,
    kind: type[ConsentRevoked],
) -> bodies.Made:
    consent = await store.own_consent(session, desk, consent_id)
    model.check_revocable(consent.decision)
    client = await clients.lock(session, desk, consent.client_id)
    change = model.revocation_change(client, revocation, actor=body.actor, desk=desk, kind=kind)
    await store.add_revocation(session, client, change, desk=desk, consent_id=consent_id)
    return bodies.Made(id=revocation.id)


async def _require_recipient(revocation: Revocation, organizations: Organizations) -> None:
    """A mistyped recipient would revoke nothing and look as if it had."""
    if revocation.recipient is not None:
        await organizations.require({"recipient": revocation.recipient})


async def _require_revocable(session: AsyncSession, client_id: str, revocation: Revocation) -> None:
    if revocation.consent_id is None:
        return
    decision = await store.decision_of(session, client_id, revocation.consent_id)
    if decision is None:
        raise invalid_body("consent_id", "must be a consent of this client")
    model.check_revocable(decision)


async def _receipt(
    request: Request, response: Response, desk: str, revocation_id: str, wait: int, *, watch: str | None = None
) -> bodies.Receipt:
    async def look(session: AsyncSession) -> bodies.Receipt:
        return await receipts.of(session, desk, revocation_id)

    receipt = await watched(request, look, _is_effective, wait)
    if not _is_effective(receipt):
        response.status_code = status.HTTP_202_ACCEPTED
        response.headers["Location"] = f"{watch or request.url.path}?{urlencode({'revocation_id': revocation_id})}"
    return receipt


def _is_effective(receipt: bodies.Receipt) -> bool:
    return receipt.state == "effective"


async def watched(
    request: Request, look: Callable[[AsyncSession], Awaitable[T]], is_done: Callable[[T], bool], seconds: int
) -> T:
    """Look until it is done or the seconds are over; return what was seen last."""
    seen: list[T] = []

    async def done() -> bool | None:
        async with database_of(request).transaction() as session:
            seen[:] = [await look(session)]
        return True if is_done(seen[0]) else None

    await until(done, seconds)
    return seen[0]


def database_of(request: Request) -> Database:
    """The service's database."""
    database: Database = request.app.state.database
    return database


def organizations_of(request: Request) -> Organizations:
    """What the service knows of organizations."""
    organizations: Organizations = request.app.state.organizations
    return organizations
