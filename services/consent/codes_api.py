"""HTTP: the code that a client may carry from one organization to another, and its card."""

from datetime import timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Request, Response, status
from sqlalchemy.ext.asyncio import AsyncSession

from services.consent import bodies, cards, client_codes, codes
from services.consent.organizations import Organizations, require_certain
from services.consent.settings import ConsentSettings
from services.kit.auth import Principal, Scope, requires
from services.kit.database import Database
from services.kit.idempotency import Once
from services.kit.problems import Problem

router = APIRouter(tags=["client codes"])

ClientWriter = Annotated[Principal, requires(Scope.CLIENTS_WRITE)]

NO_STORE: Final = {"Cache-Control": "no-store"}
A_CARD: Final[dict[int | str, dict[str, Any]]] = {
    201: {"content": {"text/html": {"schema": {"type": "string"}}}, "description": "The code, or a card to print"}
}


@router.post(
    "/clients/{client_id}/code", status_code=status.HTTP_201_CREATED, response_model=bodies.ClientCode, responses=A_CARD
)
async def create_code(
    client_id: str,
    request: Request,
    response: Response,
    caller: ClientWriter,
    once: Once,
    accept: Annotated[str, Header()] = "",
    lang: cards.Language = "en",
) -> bodies.ClientCode | Response:
    """Make a code for a client whom the caller registered, in place of any older one; it is shown this once.

    Asked for text/html (and not for application/json), the answer is a card to print, in the language `lang`.
    """
    organization, organizations = caller.own_organization(), _organizations(request)
    settings: ConsentSettings = request.app.state.settings
    await _require_linkable(request, organization, client_id)
    code = codes.new()
    code_index = await client_codes.index(organizations.encryption, codes.heard(code))

    async def keep(session: AsyncSession) -> bodies.ClientCode:
        valid = timedelta(days=settings.client_code_days)
        ends = await client_codes.keep(session, organization, client_id, code_index, valid)
        return bodies.ClientCode(code=code, expires_at=ends)

    made = await once(caller, bodies.ClientCode, keep, secret=frozenset({"code"}))
    if "text/html" in accept and "application/json" not in accept:
        return _card(made, lang, settings)
    response.headers.update(NO_STORE)
    return made


@router.delete("/clients/{client_id}/code", status_code=status.HTTP_204_NO_CONTENT)
async def delete_code(client_id: str, request: Request, caller: ClientWriter) -> None:
    """End a client's code, whoever made it; said at any desk that knows the client, and as often as one likes."""
    async with _database(request).transaction() as session:
        await client_codes.end(session, caller.own_organization(), client_id)


@router.post("/clients/code-links", status_code=status.HTTP_201_CREATED)
async def link_client(body: bodies.NewLink, request: Request, caller: ClientWriter, once: Once) -> bodies.Client:
    """Register the client whose code it is for the caller's organization: whoever carries the card is there.

    It opens nothing that another organization recorded or shared. A misspelling is told from its check character, and
    is no guess.
    """
    organization, organizations = caller.own_organization(), _organizations(request)
    await _refuse_victim_service_provider(organizations, organization)
    said = codes.heard(body.code)
    if not codes.is_one(said):
        raise Problem("unknown-code", field="code")
    code_index = await client_codes.index(organizations.encryption, said)
    async with _database(request).transaction() as session:
        guess_id = await client_codes.guess(session, organization)

    async def link(session: AsyncSession) -> bodies.Client:
        found = await client_codes.find(session, code_index)
        if found is None or not _is_linkable(organizations, found.origin, organization):
            raise Problem("unknown-code", field="code")
        await client_codes.link(session, organization, found.client_id, body.actor)
        return bodies.Client(client_id=found.client_id)

    kept = body.model_copy(update={"code": code_index.hex()}).model_dump_json().encode()
    linked = await once(caller, bodies.Client, link, body=kept)
    async with _database(request).transaction() as session:
        await client_codes.was_right(session, guess_id)
    return linked


async def _require_linkable(request: Request, organization: str, client_id: str) -> None:
    organizations = _organizations(request)
    await _refuse_victim_service_provider(organizations, organization)
    async with _database(request).transaction() as session:
        origin = await client_codes.origin(session, organization, client_id)
    if not _is_linkable(organizations, origin, organization):
        raise Problem("no-client-code")


async def _refuse_victim_service_provider(organizations: Organizations, organization: str) -> None:
    """Whatever is uncertain of the organizations is answered here, before a code is looked at: to all codes alike."""
    if await organizations.is_victim_service_provider(organization):
        raise Problem("victim-service-provider", "A victim service provider's clients are linked with nobody else's.")
    require_certain(organizations.view)


def _is_linkable(organizations: Organizations, origin: str, organization: str) -> bool:
    """Whether the person first came to one that may share with this organization; False where nobody noted to whom.

    Where the person was registered since does not matter: that would tell who else knows the client.
    """
    return origin != client_codes.UNNOTED and organizations.may_share(origin, organization)


def _card(made: bodies.ClientCode, language: cards.Language, settings: ConsentSettings) -> Response:
    if made.code is None:
        raise Problem("wrong-status", "The code was shown once and is kept nowhere: make a new one.")
    return cards.card(made.code, made.expires_at, language, settings.help_line)


def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


def _organizations(request: Request) -> Organizations:
    organizations: Organizations = request.app.state.organizations
    return organizations
