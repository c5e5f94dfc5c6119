"""The form of a referral on a hold's page, and what was typed into it: that is in the answer, and nowhere else."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from fastapi import Request
from starlette.responses import Response

from services.kit.keys import random_id
from services.kit.problems import Problem
from services.shelter_beds.board import pages
from services.shelter_beds.board.sessions import CookieSessions, Visitor
from services.shelter_beds.board.typed import text

FIELDS: Final = ("client_id", "first_name", "last_name", "dob", "household_size", "call_back", "accessible", "pets")
PASSING: Final = frozenset({"foreign-form", "dependency-down", "database-down"})
"""What is wrong with no field of a form: sent again, it may be taken."""


@dataclass(frozen=True)
class Sheet:
    """What a form shows: what was typed, what is wrong with it, and the key by which it counts once."""

    typed: Mapping[str, str] = field(repr=False)
    once: str
    faults: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def new(cls, beds: int) -> "Sheet":
        """The form before anything is typed."""
        return cls(dict.fromkeys(FIELDS, "") | {"household_size": str(beds)}, random_id())

    @property
    def key(self) -> bytes:
        """What a hold keeps of `once`: enough to know the form again, however often it is sent."""
        return hashlib.sha256(self.once.encode()).digest()


async def sent(request: Request) -> Sheet | None:
    """Return what was typed into the form; None for a request that does not send it."""
    form = await request.form()
    if "client_id" not in form:
        return None
    return Sheet({name: text(form, name) for name in FIELDS}, text(form, "once") or random_id())


class KeepingRoute(pages.PageRoute):
    """A page's route that gives back what was typed for a hold when it could not even look at it.

    It is shown, and one press sends it: so nobody refers what another page has filled in unseen.
    """

    async def failed(self, request: Request, problem: Problem) -> Response:
        """Say a problem, and keep the form if there is one."""
        sessions: CookieSessions = request.app.state.sessions
        session = sessions.opened(request)
        hold_id = request.path_params.get("hold_id")
        sheet = await sent(request) if request.method == "POST" and problem.name in PASSING else None
        if session is None or sheet is None or hold_id is None:
            return await super().failed(request, problem)
        return pages.render(
            request,
            "refer_again.html",
            Visitor(session),
            problem.type.status,
            hold_id=hold_id,
            problem=problem.name,
            sheet=sheet,
        )
