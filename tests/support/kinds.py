"""A real shelter and a test one, alike in all else, and callers who may do everything but for what kind they are."""

import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import httpx

from services.kit.keys import random_id
from services.shelter_beds.interop import hsds
from tests.support.board import Board, Browser, moment, running_board
from tests.support.callers import bearer
from tests.support.shelter import SCOPES, SHELTER

TRIAL = "trial-shelter"
KINDS = (False, True)
OWNER = {False: SHELTER, True: TRIAL}
NAME = {False: "Canary Harbor House", True: "Canary Trial House"}
UNKNOWN = "0" * 32
# Of an answer: ids, door codes, and times of day and Unix times, and what a form has in secret.
_RANDOM = re.compile(
    r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[A-Z]{3,8}-[0-9]{2}|[0-9.:]{5,}|value=\S+"
)
At = Literal["quiet", "beds", "rooms"]


@dataclass(frozen=True)
class Way:
    """How one unit, or a hold there, is reached: by a route, with what is sent.

    `at` is the unit without holds, the one that gives beds at once, or the one that is asked for them.
    """

    route: str
    sent: Mapping[str, Any] = field(default_factory=dict)
    at: At = "quiet"

    @property
    def has_hold(self) -> bool:
        """Whether it is about a hold."""
        return "{hold_id}" in self.route or "{door_code}" in str(self.sent)


@dataclass
class Kinds:
    """The board with both shelters' units, by kind, and browsers of both shelters of each kind."""

    board: Board
    units: dict[bool, dict[At, str]]
    browsers: dict[tuple[bool, bool], Browser]

    def headers(self, of: bool, kind: bool) -> dict[str, str]:
        """A token of the shelter `of`, which says that it is of a kind."""
        community = self.board.shelter.community
        community.now = time.time()
        return bearer(community.token(OWNER[of], SCOPES, test=kind))

    async def place(self, way: Way, of: bool) -> dict[str, str]:
        """The ids of what a way is about."""
        shelter, unit = self.board.shelter, self.units[of][way.at]
        found = {"unit_id": unit, "service_id": dashed(unit), "organization_id": hsds.organization_id(OWNER[of])}
        found["now"] = moment()
        found["bed_id"] = (await shelter.get(OWNER[of], f"/units/{unit}")).json()["beds"][-1]["id"]
        if way.has_hold:
            hold = await shelter.hold(unit, OWNER[of])
            found |= {"hold_id": hold["id"], "door_code": hold["door_code"]}
        return found

    async def ask(self, way: Way, place: Mapping[str, str], of: bool, kind: bool) -> httpx.Response:
        """Go this way as the shelter `of`, as if it were of a kind."""
        method, path = way.route.format(**place).split(" ")
        sent = {name: each.format(**place) if isinstance(each, str) else each for name, each in way.sent.items()}
        if path.startswith("/board"):
            browser = self.browsers[of, kind]
            return await (browser.get(path, **sent) if method == "GET" else browser.post(path, **sent))
        return await self.board.shelter.http.request(method, path, json=sent or None, headers=self.headers(of, kind))

    def marks(self, of: bool) -> set[str]:
        """By what a shelter's units are known wherever they are shown."""
        ids = set(self.units[of].values())
        return {NAME[of], *ids, *map(dashed, ids), hsds.organization_id(OWNER[of])}


def nowhere(place: Mapping[str, str]) -> dict[str, str]:
    """The same place with ids that nothing has."""
    unknown = {"unit_id": UNKNOWN, "hold_id": UNKNOWN, "service_id": dashed(UNKNOWN), "organization_id": random_id()}
    return {**place, **unknown}


def alike(answer: httpx.Response) -> tuple[int, str, str]:
    """An answer without what is different each time."""
    return answer.status_code, answer.headers.get("content-type", ""), _RANDOM.sub("*", answer.text)


def dashed(unit_id: str) -> str:
    """An id as HSDS writes it."""
    return "-".join((unit_id[:8], unit_id[8:12], unit_id[12:16], unit_id[16:20], unit_id[20:]))


@asynccontextmanager
async def both_kinds(database_url: str) -> AsyncIterator[Kinds]:
    """Run the board, register the units, and sign everybody in."""
    async with running_board(database_url) as board, AsyncExitStack() as running:
        board.shelter.community.tests.add(TRIAL)
        units: dict[bool, dict[At, str]] = {of: {} for of in KINDS}
        for of in KINDS:
            for at in get_args(At):
                said = {
                    "name": NAME[of],
                    "max_open_holds": 100,
                    "hold_policy": "request" if at == "rooms" else "instant",
                }
                units[of][at] = await board.shelter.unit(60, OWNER[of], **said)
        browsers = {
            (of, kind): await running.enter_async_context(board.visitor(OWNER[of], test=kind))
            for of in KINDS
            for kind in KINDS
        }
        yield Kinds(board, units, browsers)
