"""The board of a running shelter_beds; of governance and referrals there are the addresses that its pages ask."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

import httpx
import uvicorn
from fastapi import APIRouter, FastAPI, Form, Request

from services.kit.auth import Principal, Scope, issue_access_token, public, requires
from services.kit.clients import DelegatedClient
from services.kit.problems import Problem
from services.kit.service import create_service
from services.kit.streaming import Connection, StreamingServer
from services.shelter_beds.feed.filters import EVERYTHING_OF
from services.shelter_beds.feed.view import Availability
from tests.support.callers import Community
from tests.support.shelter import Shelter, opened
from tests.support.waiting import wait_until_async

EVERYTHING = frozenset(scope for scope in Scope if scope is not Scope.ADMIN)
CONTACTS = [
    {"id": "desk", "name": "Ana at the desk", "phone": "+1 555 0142", "email": None, "languages": ["en", "es"]},
    {"id": "night-team", "name": "Night team", "phone": "+1 555 0177", "email": None, "languages": ["en"]},
]
CLIENT = "client-0123456789abcdef"
REFERRED = {
    "client_id": CLIENT, "first_name": "Canary-Rosa", "last_name": "", "dob": "1988-04-17", "household_size": "2",
    "call_back": "night-team", "pets": "true",
}  # fmt: skip
CSRF = re.compile(r'name="csrf" value="([^"]+)"')


@dataclass
class Others:
    """governance and referrals, as much as pages ask of them; `down` says which does not answer."""

    community: Community
    ahead: float = 0.0  # seconds by which their clock, and the board's, is ahead
    down: set[str] = field(default_factory=set)
    deaf: set[str] = field(default_factory=set)  # does what it is asked, and its answer is lost
    hung: set[str] = field(default_factory=set)  # takes a request, and never answers
    unanswered: int = 0
    contacts: list[dict[str, Any]] = field(default_factory=lambda: CONTACTS)
    contacts_asked: int = 0
    refusing_contacts: Problem | None = None
    secrets: dict[tuple[str, str], Principal] = field(default_factory=dict)
    asked: int = 0
    referred: list[dict[str, Any]] = field(default_factory=list)
    keys: dict[str, int] = field(default_factory=dict)  # which referral was made with an Idempotency-Key
    refusing: Problem | None = None
    crossing: dict[str, Any] = field(default_factory=dict)
    status: str = "requested"
    status_at: str = "2026-11-26T08:02:00Z"
    nudged_at: str | None = None

    def clock(self) -> float:
        return time.time() + self.ahead

    def credential(
        self,
        organization: str | None,
        scopes: frozenset[Scope] = EVERYTHING,
        name: str = "laptop",
        *,
        test: bool = False,
    ) -> dict[str, str]:
        """Make a credential, as what the sign-in form takes."""
        client_id = f"{organization}-{name}{'-of-a-test' if test else ''}"
        secret = f"secret-of-{client_id}"
        self.secrets[client_id, secret] = Principal(client_id, organization, scopes, test)
        return {"client_id": client_id, "client_secret": secret}

    def clients(self, shelter: Shelter) -> dict[str, DelegatedClient]:
        apps = {"governance": self._governance(), "referrals": self._referrals()}
        return {
            name: DelegatedClient(shelter.settings, name, transport=_Line(self, name, app))
            for name, app in apps.items()
        }

    def _governance(self) -> FastAPI:
        router = APIRouter()

        @router.post("/oauth/token", dependencies=[public()])
        async def token(client_id: Annotated[str, Form()], client_secret: Annotated[str, Form()]) -> dict[str, Any]:
            self.asked += 1
            principal = self.secrets.get((client_id, client_secret))
            if principal is None:
                raise Problem("invalid-client")
            issued = issue_access_token(principal, self.community.private_keys["governance"], self.clock())
            return {"access_token": issued, "token_type": "Bearer", "expires_in": 600}

        @router.get("/organizations/{organization_id}")
        async def organization(organization_id: str, caller: Annotated[Principal, requires()]) -> dict[str, Any]:
            self.contacts_asked += 1
            if self.refusing_contacts:
                raise self.refusing_contacts
            return {
                "id": organization_id,
                "contacts": self.contacts if caller.organization == organization_id else None,
            }

        return create_service(self.community.settings("governance"), routers=[router], clock=self.clock)

    def _referrals(self) -> FastAPI:
        router = APIRouter()

        @router.post("/referrals", status_code=201)
        async def refer(
            request: Request, caller: Annotated[Principal, requires(Scope.REFERRALS_WRITE)]
        ) -> dict[str, Any]:
            if self.refusing:
                raise self.refusing
            wanted = {"by": caller.organization, **(await request.json())}
            number = self.keys.setdefault(request.headers["idempotency-key"], len(self.referred))
            if number == len(self.referred):
                self.referred.append(wanted)
            if self.referred[number] != wanted:
                raise Problem("idempotency-key-reused")
            return {"id": f"referral-{number + 1}", "status": "requested"}

        @router.get("/referrals/{referral_id}")
        async def read(
            referral_id: str, caller: Annotated[Principal, requires(Scope.REFERRALS_READ)]
        ) -> dict[str, Any]:
            del caller
            sent: dict[str, Any] = {"verdict": "permit", "categories": ["need"], "withheld": {}, "delivered_at": None}
            sent["delivery"] = "pending"
            said = {"id": referral_id, "status": self.status, "status_at": self.status_at, "nudged_at": self.nudged_at}
            return said | {"crossing": [sent | self.crossing]}

        return create_service(self.community.settings("referrals"), routers=[router], clock=self.clock)


class _Line:
    """The way to a service, which may be down."""

    def __init__(self, others: Others, name: str, app: FastAPI) -> None:
        self._others = others
        self._name = name
        self._transport = httpx.ASGITransport(app=app)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._name in self._others.down:
            raise httpx.ConnectError("down")
        if self._name in self._others.hung:
            self._others.unanswered += 1
            await asyncio.Event().wait()
        answer = await self._transport.handle_async_request(request)
        if self._name in self._others.deaf:
            raise httpx.ReadTimeout("lost")
        return answer


@dataclass
class Board:
    """A running board, and what a test does with it."""

    shelter: Shelter
    others: Others

    @asynccontextmanager
    async def visitor(
        self, organization: str, scopes: frozenset[Scope] = EVERYTHING, *, test: bool = False
    ) -> AsyncIterator["Browser"]:
        """A browser that has signed in."""
        async with self.browser() as browser:
            answer = await browser.sign_in(self.others.credential(organization, scopes, test=test))
            assert answer.status_code == 303, answer.text
            yield browser

    @asynccontextmanager
    async def browser(self, **headers: str) -> AsyncIterator["Browser"]:
        transport = httpx.ASGITransport(app=self.shelter.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://board.test", headers=headers) as http:
            yield Browser(http, self)

    async def settled(self) -> None:
        """Wait until the service has read what it said of its units."""

        async def read() -> bool:
            said = dict(self.shelter.sql("SELECT id, version FROM units WHERE NOT withdrawn"))
            view: Availability = self.shelter.app.state.availability
            known = [unit for everything in EVERYTHING_OF.values() for unit in view.units(everything)]
            return view.read_to_end_at is not None and said == {unit.unit_id: unit.version for unit in known}

        await wait_until_async(read, what="the service to read what it said")

    @asynccontextmanager
    async def at_a_port(self) -> AsyncIterator[str]:
        """Serve the application, which already runs, over the network too, and give its address."""
        config = uvicorn.Config(self.shelter.app, port=0, http=Connection, lifespan="off", log_config=None)
        config.timeout_graceful_shutdown = 1
        server = StreamingServer(config, self.shelter.app.state.stopping.set)
        serving = asyncio.create_task(server.serve())
        await wait_until_async(lambda: server.started, what="the server")
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
        server.should_exit = True
        await serving


@dataclass
class Browser:
    """As much of a browser as pages need: it keeps cookies and sends forms."""

    http: httpx.AsyncClient
    board: Board

    async def get(self, path: str, **parameters: str) -> httpx.Response:
        await self.board.settled()
        return await self.http.get(path, params=parameters or None)

    async def post(self, path: str, /, **fields: str) -> httpx.Response:
        """Send a form as a page would that was loaded just now."""
        await self.board.settled()
        page = (await self.http.get("/board/desk", follow_redirects=True)).text
        found = CSRF.search(page)
        return await self.http.post(path, data={"csrf": found[1] if found else ""} | fields)

    async def sign_in(self, credential: dict[str, str], **fields: str) -> httpx.Response:
        await self.http.get("/sign-in")
        check = {"check": self.http.cookies.get("sign-in") or ""}
        return await self.http.post("/sign-in", data=check | credential | fields)


async def held(board: Board, browser: Browser, **said: Any) -> tuple[str, str]:
    """Hold a bed by the pages; returns the unit and the hold's address."""
    unit = await board.shelter.unit(3, **said)
    placed = await browser.post(f"/board/units/{unit}/hold", beds="2", minutes="30", once=unit)
    assert placed.status_code == 303, placed.text
    return unit, placed.headers["location"]


@asynccontextmanager
async def running_board(database_url: str) -> AsyncIterator[Board]:
    """Run shelter_beds with its board."""
    async with opened(database_url) as shelter:
        others = Others(shelter.community)
        shelter.delegated, shelter.clock = others.clients(shelter), others.clock
        async with shelter.serving():
            yield Board(shelter, others)


def moment(seconds: float = 0) -> str:
    """A time from now, as an API takes it."""
    return datetime.fromtimestamp(time.time() + seconds, UTC).isoformat()
