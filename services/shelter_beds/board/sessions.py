"""Who asks for a page: reads the session's cookie, has its credential verified again, and checks what pages send."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as Ambit

from services.kit.auth import Principal, Scope
from services.kit.clients import DependencyDown
from services.kit.problems import Problem
from services.shelter_beds.board.credentials import Credentials
from services.shelter_beds.board.session import LASTS_SECONDS, Seal, Session

SAFE_METHODS: Final = frozenset({"GET", "HEAD"})


class SignInNeeded(Exception):
    """Nobody has signed in, or not any more."""


@dataclass(frozen=True)
class Visitor:
    """Who asks for a page."""

    session: Session

    @property
    def principal(self) -> Principal:
        """Whom the visitor acts for."""
        return self.session.principal

    def may(self, scope: str) -> bool:
        """Whether the credential has a scope."""
        return scope in self.session.scopes


class CookieSessions:
    """Sessions that are in cookies; `secure` says that they go over TLS alone. A `kit.auth.Sessions`."""

    def __init__(self, seal: Seal, credentials: Credentials, clock: Callable[[], float], *, secure: bool) -> None:
        self.credentials = credentials
        self.clock = clock
        self.secure = secure
        self._seal = seal

    @property
    def cookie(self) -> str:
        """The cookie's name; a browser takes one that begins like this only from the host itself, over TLS."""
        return "__Host-threshold" if self.secure else "threshold"

    async def reader(self, request: Request) -> Principal | None:
        """Return whom a session stands for when it only reads; Problem 503 when that can't be known any more."""
        request.state.is_personal = True
        session = await self._verified(request)
        return session.principal if session else None

    async def visitor(self, request: Request, scopes: frozenset[Scope]) -> Visitor:
        """Return who asks for a page; SignInNeeded, Problem 403 without a scope or for a form that is not ours.

        What changes anything needs a credential that governance has just confirmed: Problem 503.
        """
        session = await self._verified(request)
        if session is None:
            raise SignInNeeded
        if request.method not in SAFE_METHODS:
            await check_form(request, session.csrf)
            if not session.is_verified(self.clock()):
                raise DependencyDown("governance")
        if scopes and not scopes & set(session.scopes):
            raise Problem("insufficient-scope", f"One of: {' '.join(sorted(scopes))}.")
        return Visitor(session)

    def opened(self, request: Request) -> Session | None:
        """Return the session of a request's cookie, as old as it may be; nobody is asked whether it still counts."""
        return self._seal.open(request.cookies.get(self.cookie, ""), self.clock())

    def write(self, headers: MutableHeaders, session: Session | None) -> None:
        """Let an answer begin or renew a session in its browser, or end it there for None."""
        left = 0 if session is None else int(session.issued_at + LASTS_SECONDS - self.clock())
        value = self._seal.seal(session) if session else ""
        attributes = f"Max-Age={max(left, 0)}; Path=/; HttpOnly; SameSite=Lax{'; Secure' if self.secure else ''}"
        headers.append("Set-Cookie", f"{self.cookie}={value}; {attributes}")

    async def _verified(self, request: Request) -> Session | None:
        now = self.clock()
        session = self.opened(request)
        if session is None or session.is_verified(now):
            return session
        try:
            principal = await self.credentials.confirm(session.client_id, session.client_secret)
        except DependencyDown:
            if session.is_readable(now):
                return session
            raise
        counts = principal is not None and principal.organization == session.organization
        request.state.session = session.renewed(principal, now) if principal and counts else None
        found: Session | None = request.state.session
        return found


class CookieFollower:
    """ASGI middleware: writes the cookie as `request.state.session` says, if anything: None ends it.

    What a session reads of the API is kept by no browser: the next to use it may be somebody else.
    """

    def __init__(self, app: ASGIApp, sessions: CookieSessions) -> None:
        self.app = app
        self.sessions = sessions

    async def __call__(self, scope: Ambit, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})

        async def following(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if "session" in state:
                    self.sessions.write(headers, state["session"])
                if "is_personal" in state:
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self.app(scope, receive, following)


async def check_form(request: Request, expected: str) -> None:
    """Refuse a form that was not made by one of our pages for this session; Problem 403."""
    sent = (await request.form()).get("csrf")
    if not isinstance(sent, str) or not hmac.compare_digest(sent.encode(), expected.encode()):
        raise Problem("foreign-form")
