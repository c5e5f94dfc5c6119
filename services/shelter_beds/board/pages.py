"""Makes pages of templates: in the visitor's language, under a policy that lets nothing in from anywhere else."""

import hashlib
import json
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import Response

from services.kit.database import Database
from services.kit.problems import Problem, from_validation
from services.shelter_beds.board import cards, filters, language, times
from services.shelter_beds.board.sessions import CookieSessions, SignInNeeded, Visitor

HERE: Final = Path(__file__).parent
STATIC: Final = {"board.css": "text/css", "print.css": "text/css", "icon.svg": "image/svg+xml"} | dict.fromkeys(
    ("live.js", "follow.js", "connection.js", "ticking.js"), "text/javascript"
)
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
SIGN_IN: Final = "/sign-in"


class PageRoute(APIRoute):
    """A route whose errors are pages too."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler, with an answer for every error that is foreseen."""
        handle = super().get_route_handler()

        async def answered(request: Request) -> Response:
            try:
                return await handle(request)
            except SignInNeeded:
                return to_sign_in(request)
            except RequestValidationError as error:
                return await self.failed(request, from_validation(error))
            except Problem as problem:
                return await self.failed(request, problem)
            except Database.away:
                return await self.failed(request, Problem("database-down"))

        return answered

    async def failed(self, request: Request, problem: Problem) -> Response:
        """Say a problem in words, as a page."""
        return failed(request, problem)


def render(
    request: Request, template: str, visitor: Visitor | None, status: int = 200, **context: object
) -> HTMLResponse:
    """Render a template; it finds `t` (the catalogue), `visitor`, `now` (Unix time) and what `context` has."""
    words = language.catalogue(language.chosen(request))
    sessions: CookieSessions = request.app.state.sessions
    text = (
        _templates()
        .get_template(template)
        .render(
            t=words,
            lang=words.language,
            visitor=visitor,
            csrf=visitor.session.csrf if visitor else "",
            now=sessions.clock(),
            languages=_language_links(request),
            **context,
        )
    )
    answer = HTMLResponse(text, status, HEADERS)
    if request.query_params.get("lang") in language.LANGUAGES:
        secure = "; Secure" if sessions.secure else ""
        value = f"{language.COOKIE}={words.language}; Max-Age={language.LASTS_SECONDS}; Path=/; SameSite=Lax{secure}"
        answer.headers.append("Set-Cookie", f"{value}; HttpOnly")
    return answer


def to(address: str) -> RedirectResponse:
    """Send the browser to another page, after what a form asked for is done."""
    return RedirectResponse(address, 303, HEADERS)


def to_sign_in(request: Request) -> Response:
    """Lead whoever has not signed in there, and back afterwards; a script that wants a part of a page is told 401."""
    if request.headers.get("sec-fetch-dest") == "empty":
        return HTMLResponse("", 401, HEADERS)
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return to(f"{SIGN_IN}?{urlencode({'next': wanted})}" if request.method == "GET" else SIGN_IN)


def failed(request: Request, problem: Problem) -> HTMLResponse:
    """Say a problem in words, as a page."""
    words = language.catalogue(language.chosen(request))
    text = words.first(f"problem.{problem.name}", "problem.other")
    return render(request, "problem.html", None, problem.type.status, text=text)


def faults(words: language.Catalogue, problem: Problem, **values: object) -> dict[str, str]:
    """Return what is wrong, in words, by the field that it stands beside; "" is for the form as a whole."""
    if not problem.faults:
        return {"": words.first(f"problem.{problem.name}", "problem.other", **values)}
    found = {}
    for fault in problem.faults:
        field = fault.field.rsplit(".", 1)[-1]
        found[field] = words.first(
            f"fault.{problem.name}.{field}", f"fault.{field}", f"problem.{problem.name}", "problem.other", **values
        )
    return found


@cache
def static_file(name: str) -> tuple[bytes, str]:
    """Return a static file and the start of its hash, which stands in its address; KeyError for any other name."""
    if name not in STATIC:
        raise KeyError(name)
    content = (HERE / "static" / name).read_bytes()
    return content, hashlib.sha256(content).hexdigest()[:12]


def _static_address(name: str) -> str:
    return f"/static/{name}?v={static_file(name)[1]}"


def _language_links(request: Request) -> list[tuple[str, str]]:
    """Return each language and where the same page is in it; a page that answers a form has no address of its own."""
    if request.method != "GET":
        return []
    kept = [(name, value) for name, value in request.query_params.multi_items() if name != "lang"]
    path = quote(request.url.path)
    return [(each, f"{path}?{urlencode([*kept, ('lang', each)])}") for each in language.LANGUAGES]


def _clock(moment: float, zone: ZoneInfo | str) -> str:
    """Write a Unix time as the time of day at a place."""
    place = ZoneInfo(zone) if isinstance(zone, str) else zone
    return times.clock(datetime.fromtimestamp(moment, UTC), place)


def _day_at(moment: float, zone: ZoneInfo) -> str:
    """Write the day that it is at a place."""
    return datetime.fromtimestamp(moment, zone).date().isoformat()


@cache
def _templates() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(static=_static_address, times=times, clock=_clock, headline=cards.headline, chips=filters.CHIPS)
    made.globals.update(day_at=_day_at)
    made.filters["json"] = lambda value: json.dumps(value, ensure_ascii=False)
    return made
