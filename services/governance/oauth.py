"""HTTP: access tokens for clients (OAuth 2.0 client credentials, RFC 6749 section 4.4) and the keys to verify them."""

import hmac
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Annotated, Any, Final

from fastapi import APIRouter, Form, Request, Response
from fastapi.routing import APIRoute

from services.governance import bodies, directory, store
from services.governance.settings import GovernanceSettings
from services.kit.attempts import WINDOW_SECONDS, Attempts
from services.kit.auth import (
    ACCESS_TOKEN_SECONDS,
    Principal,
    Scope,
    Verifiers,
    issue_access_token,
    public,
    request_target,
)
from services.kit.database import Database
from services.kit.problems import Problem
from services.kit.tokens import RefusedTokenError, public_jwk


class BodyKept(APIRoute):
    """A route whose function can read the body though its form was parsed: an assertion is for exactly these bytes."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Read the body first."""
        handle = super().get_route_handler()

        async def kept(request: Request) -> Response:
            await request.body()
            return await handle(request)

        return kept


router = APIRouter(route_class=BodyKept, dependencies=[public()])

BOARD: Final = "shelter_beds"
ADMIN_SCOPES: Final = frozenset({Scope.ADMIN, Scope.AUDIT_READ_ALL})
LONGEST_FIELD: Final = 256
Field = Annotated[str, Form(max_length=LONGEST_FIELD)]


@router.post("/oauth/token")
async def token(
    request: Request, response: Response, grant_type: Field, client_id: Field, client_secret: Field
) -> bodies.Token:
    """Give an API client an access token for ten minutes. Problems carry RFC 6749's `error` too."""
    if grant_type != "client_credentials":
        raise Problem("unsupported-grant-type", field="grant_type", extra={"error": "unsupported_grant_type"})
    settings: GovernanceSettings = request.app.state.settings
    verifiers: Verifiers = request.app.state.verifiers
    attempts: Attempts = request.app.state.attempts
    address = await _counted_address(request)
    if address is not None and not attempts.allow(client_id, address, verifiers.clock()):
        retry = {"Retry-After": str(WINDOW_SECONDS)}
        raise Problem("too-many-attempts", headers=retry, extra={"error": "temporarily_unavailable"})
    is_wrong = False
    try:
        principal = _admin(settings, client_id, client_secret) or await _client(request, client_id, client_secret)
        is_wrong = principal is None
    finally:
        if address is not None and not is_wrong:  # also when nobody could say whether it is
            attempts.forgive(client_id, address)
    if principal is None:
        raise Problem("invalid-client", extra={"error": "invalid_client"})
    response.headers["Cache-Control"] = "no-store"
    issued = issue_access_token(principal, settings.assertion_key, verifiers.clock())
    return bodies.Token(access_token=issued, expires_in=ACCESS_TOKEN_SECONDS)


@router.get("/.well-known/jwks.json")
async def key_set(request: Request) -> dict[str, list[dict[str, Any]]]:
    """Publish the key that verifies access tokens (RFC 7517)."""
    settings: GovernanceSettings = request.app.state.settings
    return {"keys": [public_jwk(settings.assertion_key.public_key())]}


async def _counted_address(request: Request) -> str | None:
    """Return by which address wrong secrets are counted; None for the board, which counts those of its own visitors."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    verifiers: Verifiers = request.app.state.verifiers
    now, body = verifiers.clock(), await request.body()
    if kind.lower() == "bearer":
        with suppress(RefusedTokenError):
            caller = verifiers.assertions.verify(token, request.method, request_target(request), body, now)
            return None if caller == BOARD else _address(request)
    return _address(request)


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _admin(settings: GovernanceSettings, client_id: str, client_secret: str) -> Principal | None:
    expected = settings.admin_client_secret.get_secret_value()
    same = hmac.compare_digest(directory.hash_of(client_secret), directory.hash_of(expected))
    return Principal(client_id, None, ADMIN_SCOPES) if client_id == settings.admin_client_id and same else None


async def _client(request: Request, client_id: str, client_secret: str) -> Principal | None:
    database: Database = request.app.state.database
    async with database.transaction() as session:
        row = await store.credential(session, client_id)
        if row is None or row.unconfirmed or not hmac.compare_digest(row.secret_hash, directory.hash_of(client_secret)):
            return None
        organization = await store.organization(session, row.organization)
    return Principal(row.client_id, row.organization, directory.scopes_of(row), organization.test)
