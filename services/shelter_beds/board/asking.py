"""Asks other services on a visitor's behalf, with an access token of the visitor's own credential."""

from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote

from fastapi import Request

from services.kit.auth import Scope
from services.kit.clients import Answer, DelegatedClient
from services.kit.problem_types import PROBLEM_TYPES
from services.kit.problems import Fault, Problem
from services.shelter_beds.board.sessions import CookieSessions, SignInNeeded, Visitor


async def call(
    request: Request,
    visitor: Visitor,
    service: Literal["governance", "referrals"],
    method: str,
    path: str,
    *,
    body: object = None,
    key: str | None = None,
) -> Answer:
    """Call another service as the visitor; SignInNeeded when governance refuses the credential."""
    sessions: CookieSessions = request.app.state.sessions
    client: DelegatedClient = request.app.state.delegated[service]
    session = visitor.session
    token = await sessions.credentials.token(session.client_id, session.client_secret)
    if token is None:
        raise SignInNeeded
    return await client.request(method, path, token, body=body, key=key)


async def crossing(request: Request, visitor: Visitor, referral_id: str) -> dict[str, Any] | None:
    """Return what the recipient has of a referral: status and since when, what it has and has not, when it left.

    None: there is none. Where the credential may not read referrals, or the referrals service is away, it says so:
    the status is `unknown`.
    """
    unknown: dict[str, Any] = {"id": referral_id, "status": "unknown"}
    if not visitor.may(Scope.REFERRALS_READ):
        return unknown
    try:
        answer = await call(request, visitor, "referrals", "GET", f"/referrals/{quote(referral_id, safe='')}")
    except Problem:
        return unknown
    seen = answer.json() if answer.is_success else {}
    if not seen.get("crossing"):
        return None
    first = seen["crossing"][0]
    return {
        "id": referral_id,
        "status": seen["status"],
        "status_at": _moment(seen["status_at"]),
        "delivered_at": _moment(first["delivered_at"]),
        "nudged_at": _moment(seen["nudged_at"]),
        **{name: first[name] for name in ("verdict", "categories", "withheld", "delivery")},
    }


def problem_of(answer: Answer) -> Problem:
    """Read a problem of another service; its texts are not shown, only which kind it is and which fields it names."""
    said = answer.json()
    name = str(said.get("type", "")).removeprefix("/problems/")
    faults = [Fault(str(each["field"]), "") for each in said.get("errors", [])]
    return Problem(name if name in PROBLEM_TYPES else "internal-error", faults=faults)


def _moment(written: str | None) -> datetime | None:
    return datetime.fromisoformat(written) if written else None
