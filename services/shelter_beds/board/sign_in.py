"""HTTP: signing in to the pages with an organization's credential, and out again."""

import hmac
import re
import secrets
from typing import Annotated, Final

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from services.kit.attempts import WINDOW_SECONDS, Attempts
from services.kit.auth import public
from services.kit.problems import Problem
from services.shelter_beds.board import pages
from services.shelter_beds.board.session import Session
from services.shelter_beds.board.sessions import CookieSessions, check_form

router = APIRouter(route_class=pages.PageRoute, include_in_schema=False)

BOARD: Final = "/board"
CHECK_COOKIE: Final = "sign-in"
CHECK_SECONDS: Final = 3600
LONGEST: Final = 256
_CHECK: Final = re.compile(r"[A-Za-z0-9_-]{22}", re.ASCII)
_OURS: Final = re.compile(r"/board(/[A-Za-z0-9_-]+)*(\?[A-Za-z0-9_.~=&%+,-]*)?", re.ASCII)
Text = Annotated[str, Form(max_length=LONGEST)]


@router.get("/sign-in", dependencies=[public()])
async def ask(request: Request, next: str = BOARD) -> Response:  # noqa: A002 - the name in the address
    """Ask for a credential."""
    return _form(request, after(next))


@router.post("/sign-in", dependencies=[public()])
async def sign_in(
    request: Request,
    client_id: Text = "",
    client_secret: Text = "",
    check: Text = "",
    next: Text = BOARD,  # noqa: A002 - the name in the form
) -> Response:
    """Take a credential, have governance confirm it, and begin a session."""
    sessions: CookieSessions = request.app.state.sessions
    attempts: Attempts = request.app.state.attempts
    if not check or not hmac.compare_digest(check.encode(), _check_of(request).encode()):
        return _form(request, after(next), "stale")
    address = request.client.host if request.client else ""
    if not attempts.allow(client_id, address, sessions.clock()):
        answer = _form(request, after(next), "too_many", 429, client_id)
        answer.headers["Retry-After"] = str(WINDOW_SECONDS)
        return answer
    principal = await sessions.credentials.verify(client_id.strip(), client_secret.strip())
    if principal is None:
        return _form(request, after(next), "refused", 401, client_id)
    attempts.forgive(client_id, address)
    if principal.organization is None:
        return _form(request, after(next), "no_organization", 403)
    request.state.session = Session.begun(principal, client_secret.strip(), sessions.clock())
    return pages.to(after(next))


@router.post("/sign-out", dependencies=[public()])
async def sign_out(request: Request) -> Response:
    """End the session, also while governance can't be asked whether its credential still counts."""
    sessions: CookieSessions = request.app.state.sessions
    session = sessions.opened(request)
    if session is not None:
        await check_form(request, session.csrf)
    request.state.session = None
    return pages.to(pages.SIGN_IN)


@router.get("/static/{name}", dependencies=[public()])
async def static(name: str, v: str = "") -> Response:
    """Serve what pages are made of; only what an address with its hash names may be kept for ever."""
    try:
        content, version = pages.static_file(name)
    except KeyError:
        raise Problem("not-found") from None
    kept = "public, max-age=31536000, immutable" if v == version else "no-cache"
    headers = {"Cache-Control": kept, "X-Content-Type-Options": "nosniff"}
    return Response(content, media_type=pages.STATIC[name], headers=headers)


def after(asked: str) -> str:
    """Return where to go after signing in: a page of ours, whatever an address asks for."""
    return asked if _OURS.fullmatch(asked) else BOARD


def _check_of(request: Request) -> str:
    """Return what the form must send too; "" for a cookie that we did not make, of which nothing is sent back."""
    found = request.cookies.get(CHECK_COOKIE, "")
    return found if _CHECK.fullmatch(found) else ""


def _form(request: Request, next_: str, fault: str = "", status: int = 200, client_id: str = "") -> Response:
    check = _check_of(request) or secrets.token_urlsafe(16)
    answer = pages.render(
        request, "sign_in.html", None, status, next=next_, check=check, fault=fault, client_id=client_id.strip()
    )
    sessions: CookieSessions = request.app.state.sessions
    secure = "; Secure" if sessions.secure else ""
    attributes = f"Max-Age={CHECK_SECONDS}; Path={pages.SIGN_IN}; HttpOnly; SameSite=Lax{secure}"
    answer.headers.append("Set-Cookie", f"{CHECK_COOKIE}={check}; {attributes}")
    return answer
