"""Who is calling and what they may do: access tokens of clients, assertions of services, one declaration per route.

Every route carries exactly one declaration: `requires(scopes)`, `service_only(names)`, `public()` or, for a page,
`signed_in(scopes)`. `access_of` reads it back, so a test can hold the whole table of routes against what was meant, and
a route without one fails.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from fastapi import Depends, FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.params import Depends as Dependency
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from services.kit.assertions import AssertionVerifier
from services.kit.keys import random_id
from services.kit.problems import Problem
from services.kit.tokens import Claims, EndedTokenError, RefusedTokenError, check_time, sign, verify

ACCESS_TOKEN_SECONDS: Final = 600
REMEMBERED_TOKENS: Final = 1024
ISSUER: Final = "threshold"
ACCESS_TOKEN_KIND: Final = "at+jwt"  # noqa: S105 - RFC 9068's media type, not a secret
ENDED: Final = (
    "The access token has ended. Get a new one from governance's /oauth/token, and send the request again, with the "
    "same Idempotency-Key if it had one. While governance does not answer, ask it again every few seconds."
)


class Scope(StrEnum):
    """What a credential may be allowed to do."""

    ADMIN = "admin"
    AGREEMENTS_APPROVE = "agreements:approve"
    CLIENTS_WRITE = "clients:write"
    CONSENTS_WRITE = "consents:write"
    CONSENTS_READ = "consents:read"
    CONSENTS_REVOKE = "consents:revoke"
    REFERRALS_WRITE = "referrals:write"
    REFERRALS_READ = "referrals:read"
    REFERRALS_BACKFILL = "referrals:backfill"
    BEDS_WRITE = "beds:write"
    BEDS_READ = "beds:read"
    HOLDS_WRITE = "holds:write"
    WEBHOOKS_MANAGE = "webhooks:manage"
    INBOX_READ = "inbox:read"
    AUDIT_READ = "audit:read"
    AUDIT_READ_ALL = "audit:read-all"


@dataclass(frozen=True)
class Principal:
    """An authenticated API client. `organization` is None for the administrator's credential.

    `test`: its organization is a test, which it is for ever.
    """

    client_id: str
    organization: str | None
    scopes: frozenset[Scope]
    test: bool = False

    @property
    def is_admin(self) -> bool:
        """Whether this credential administers the whole community."""
        return Scope.ADMIN in self.scopes

    @property
    def owner(self) -> str:
        """The organization, or the client itself when it belongs to none: whose requests these are."""
        return self.organization or f"client:{self.client_id}"

    def own_organization(self) -> str:
        """Return the organization acted for; Problem 403 for a credential that belongs to none."""
        if self.organization is None:
            raise Problem("organization-needed")
        return self.organization


class AccessClaims(Claims, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The claims of an access token (RFC 9068, without what has one value here)."""

    iss: Literal["threshold"] = ISSUER
    aud: Literal["threshold"] = ISSUER
    sub: str
    scope: str
    org: str | None = None
    test: bool = False


def issue_access_token(principal: Principal, key: Ed25519PrivateKey, now: float) -> str:
    """Sign an access token with governance's assertion key, valid for ACCESS_TOKEN_SECONDS from `now` (Unix time)."""
    claims = AccessClaims(
        sub=principal.client_id,
        org=principal.organization,
        scope=" ".join(sorted(principal.scopes)),
        test=principal.test,
        iat=int(now),
        exp=int(now) + ACCESS_TOKEN_SECONDS,
        jti=random_id(),
    )
    return sign(claims, ACCESS_TOKEN_KIND, key)


def verify_access_token(token: str, key: Ed25519PublicKey, now: float) -> Principal:
    """Return whom an access token stands for; RefusedTokenError when it is not governance's or not valid now."""
    claims = _claims(token, key.public_bytes_raw())
    check_time(claims, now, ACCESS_TOKEN_SECONDS)
    try:
        scopes = frozenset(Scope(name) for name in claims.scope.split())
    except ValueError as error:
        raise RefusedTokenError("an unknown scope") from error
    return Principal(claims.sub, claims.org, scopes, claims.test)


@lru_cache(maxsize=REMEMBERED_TOKENS)
def _claims(token: str, key: bytes) -> AccessClaims:
    """Verify a token, once: its signature stays what it is, and its time is looked at by the caller each time."""
    return verify(token, ACCESS_TOKEN_KIND, Ed25519PublicKey.from_public_bytes(key), AccessClaims)


@dataclass(frozen=True)
class Verifiers:
    """What a service checks callers with; `create_service` puts one into `app.state.verifiers`."""

    governance_key: Ed25519PublicKey
    assertions: AssertionVerifier
    clock: Callable[[], float] = time.time


class Sessions(Protocol):
    """Who has signed in to a service's pages; a service that has pages puts one into `app.state.sessions`."""

    async def reader(self, request: Request) -> Principal | None:
        """Return whom a request's session stands for when it only reads; None without a valid session."""

    async def visitor(self, request: Request, scopes: frozenset[Scope]) -> object:
        """Return who asks for a page, with one of the scopes; raises what the service's pages make an answer of."""


Bearer = Annotated[
    HTTPAuthorizationCredentials | None, Depends(HTTPBearer(scheme_name="access token", auto_error=False))
]


@dataclass(frozen=True)
class Public:
    """Open to everybody."""

    async def __call__(self) -> None:
        """Let the request through."""


@dataclass(frozen=True)
class Scoped:
    """Open to clients with any one of these scopes; without scopes named, to every client.

    Who signed in to the service's pages may read without a token: a browser's EventSource can send none.
    """

    scopes: frozenset[Scope]

    async def __call__(self, request: Request, bearer: Bearer) -> Principal:
        """Return the caller; Problem 401 without a valid token, 403 without a scope."""
        verifiers: Verifiers = request.app.state.verifiers
        try:
            principal = (
                verify_access_token(bearer.credentials, verifiers.governance_key, verifiers.clock())
                if bearer is not None
                else await _reader(request)
            )
        except EndedTokenError as error:
            raise unauthenticated("invalid_token", ENDED) from error
        except RefusedTokenError as error:
            raise unauthenticated("invalid_token") from error
        if self.scopes and not self.scopes & principal.scopes:
            raise self._insufficient()
        return principal

    def _insufficient(self) -> Problem:
        wanted = " ".join(sorted(self.scopes))
        challenge = f'Bearer realm="threshold", error="insufficient_scope", scope="{wanted}"'
        return Problem("insufficient-scope", f"One of: {wanted}.", headers={"WWW-Authenticate": challenge})


@dataclass(frozen=True)
class ServiceOnly:
    """Open to these services, each by an assertion for exactly this request."""

    services: frozenset[str]

    async def __call__(self, request: Request, bearer: Bearer) -> str:
        """Return the calling service's name; Problem 401 without a valid assertion, 403 for another service."""
        verifiers: Verifiers = request.app.state.verifiers
        if bearer is None:
            raise unauthenticated()
        try:
            caller = verifiers.assertions.verify(
                bearer.credentials, request.method, request_target(request), await request.body(), verifiers.clock()
            )
        except RefusedTokenError as error:
            raise unauthenticated("invalid_token") from error
        if caller not in self.services:
            raise Problem("insufficient-scope", "This address is for other services.")
        return caller


@dataclass(frozen=True)
class SignedIn:
    """A page, open to who signed in with a credential that has any one of these scopes; others are led to sign in."""

    scopes: frozenset[Scope]

    async def __call__(self, request: Request) -> Any:  # noqa: ANN401 - what the service's own sessions make of it
        """Return the visitor, as `Sessions.visitor` does."""
        sessions: Sessions = request.app.state.sessions
        return await sessions.visitor(request, self.scopes)


Access = Public | Scoped | ServiceOnly | SignedIn


def public() -> Dependency:
    """Declare a route open to everybody: `dependencies=[public()]`."""
    return Dependency(Public())


def requires(*scopes: Scope) -> Dependency:
    """Declare that a client needs any one of these scopes.

    As a parameter it gives the caller: `caller: Annotated[Principal, requires(Scope.ADMIN)]`.
    """
    return Dependency(Scoped(frozenset(scopes)))


def service_only(*services: str) -> Dependency:
    """Declare that only these services may call.

    As a parameter it gives the caller's name: `caller: Annotated[str, service_only("webhooks")]`.
    """
    return Dependency(ServiceOnly(frozenset(services)))


def signed_in(*scopes: Scope) -> Dependency:
    """Declare a page for who signed in; as a parameter it gives what the service's `Sessions.visitor` returns."""
    return Dependency(SignedIn(frozenset(scopes)))


def routes_of(app: FastAPI) -> Iterator[RouteContext]:
    """Give every API route of an app, with the full path it is served at."""
    return (route for route in iter_route_contexts(app.routes) if isinstance(route.original_route, APIRoute))


def access_of(route: RouteContext) -> Access:
    """Return the one declaration of a route; LookupError when it has none or several."""
    declared = set(_declarations(route.dependant))
    if len(declared) != 1:
        raise LookupError(f"{route.methods} {route.path} declares {len(declared)} kinds of access instead of one")
    return declared.pop()


def _declarations(dependant: Dependant) -> Iterator[Access]:
    if isinstance(dependant.call, Access):
        yield dependant.call
    for inner in dependant.dependencies:
        yield from _declarations(inner)


async def _reader(request: Request) -> Principal:
    sessions: Sessions | None = getattr(request.app.state, "sessions", None)
    found = await sessions.reader(request) if sessions is not None and request.method == "GET" else None
    if found is None:
        raise unauthenticated()
    return found


def unauthenticated(error: str | None = None, detail: str = "") -> Problem:
    """Make the 401 answer; `error` is RFC 6750's code when a token was sent, `detail` what its sender should do."""
    challenge = 'Bearer realm="threshold"' + (f', error="{error}"' if error else "")
    return Problem("unauthenticated", detail, headers={"WWW-Authenticate": challenge})


def request_target(request: Request) -> str:
    """Return path and query exactly as they were sent."""
    raw_path: bytes = request.scope["raw_path"]
    query: bytes = request.scope["query_string"]
    return (raw_path + (b"?" + query if query else b"")).decode("latin-1")
