"""shelter_beds in this process, on a real Kafka and PostgreSQL; of governance there are the addresses it asks."""

import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec
from aiokafka import AIOKafkaProducer
from fastapi import APIRouter, FastAPI

from schemas.beds import HoldEvents, Unit, UnitAvailability
from services.kit.auth import Scope, service_only
from services.kit.broker import read_all
from services.kit.clients import DelegatedClient, ServiceClient
from services.kit.database import migrate
from services.kit.keys import random_id
from services.kit.problems import Problem
from services.kit.service import create_service
from services.kit.topics import load
from services.shelter_beds.app import compose
from services.shelter_beds.feed.rhythm import Rhythm
from services.shelter_beds.settings import BedsSettings
from tests.support.callers import Community, bearer
from tests.support.log import ROOT_FINGERPRINT
from tests.support.own_kafka import STANDING_KAFKA, OwnKafka
from tests.support.tables import direct
from tests.support.waiting import wait_until_async

SHELTER, OUTREACH, OTHER, SAFE_HOUSE = "harbor-shelter", "street-outreach", "other-outreach", "safe-house"
SCOPES = (Scope.BEDS_READ, Scope.BEDS_WRITE, Scope.HOLDS_WRITE)
PROJECT = {
    "organization_name": "Harbor Shelter",
    "project_type": 0,
    "confidential": False,
    "victim_service_provider": False,
    "test": False,
}
BEYOND_ANY_OFFSET = 2**40
_AVAILABILITY = msgspec.json.Decoder(UnitAvailability)
_STEP = msgspec.json.Decoder(HoldEvents)


@dataclass
class Shelter:
    """The running service, and what a test does with it.

    `confidential` are (organization, project) that governance calls so when it is asked for all.
    """

    bootstrap: str
    settings: BedsSettings
    community: Community
    broker: OwnKafka
    running: AsyncExitStack = field(default_factory=AsyncExitStack)
    delegated: Mapping[str, DelegatedClient] | None = None
    clock: Callable[[], float] = time.time
    confidential: set[tuple[str, str]] = field(default_factory=set)
    http: httpx.AsyncClient = field(init=False)
    app: FastAPI = field(init=False)

    def composed(self, rhythm: Rhythm | None = None) -> FastAPI:
        """Make the application: each is one process's."""
        router = projects(self.confidential, self.community.tests)
        governance = create_service(self.community.settings("governance"), routers=[router])
        transport = httpx.ASGITransport(app=governance)
        client = ServiceClient(self.settings, "governance", transport=transport)
        return compose(self.settings, client, rhythm, self.delegated, self.clock)

    def lets_others_say_units(self) -> None:
        """Let the service start though the test has said units that its tables do not know."""
        migrate("shelter_beds", self.settings.database_url)
        self.sql("INSERT INTO positions VALUES ('bed-availability', 0, %s)", BEYOND_ANY_OFFSET)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Run the service; as often as a test wants, on the same tables."""
        self.app = self.composed()
        async with (
            self.app.router.lifespan_context(self.app),
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app=self.app), base_url="http://shelter_beds.test"
            ) as self.http,
        ):
            yield

    def headers(self, organization: str | None, scopes: Sequence[Scope] = SCOPES) -> dict[str, str]:
        """The access of an organization's credential; of none, the administrator's."""
        self.community.now = time.time()
        return bearer(self.community.token(organization, scopes if organization else [Scope.ADMIN]))

    async def post(
        self, organization: str | None, path: str, body: object = None, *, key: str | None = None
    ) -> httpx.Response:
        headers = self.headers(organization) | ({"Idempotency-Key": key} if key else {})
        return await self.http.post(path, json=body, headers=headers)

    async def get(self, organization: str | None, path: str, **parameters: str) -> httpx.Response:
        return await self.http.get(path, params=parameters, headers=self.headers(organization))

    async def patch(self, organization: str | None, path: str, **changes: Any) -> httpx.Response:
        return await self.http.patch(path, json=changes, headers=self.headers(organization))

    async def census(self, organization: str, unit_id: str, **said: Any) -> httpx.Response:
        return await self.http.put(f"/units/{unit_id}/census", json=said, headers=self.headers(organization))

    async def unit(self, beds: int = 3, organization: str = SHELTER, **said: Any) -> str:
        """Register a unit and return its id."""
        made = await self.post(organization, "/units", unit_body(beds=beds, **said))
        assert made.status_code == 201, made.text
        return str(made.json()["id"])

    async def hold(self, unit_id: str, organization: str = OUTREACH, **said: Any) -> dict[str, Any]:
        """Hold beds, and return the hold."""
        made = await self.post(organization, "/holds", {"unit_id": unit_id, "minutes": 30} | said)
        assert made.status_code == 201, made.text
        hold: dict[str, Any] = made.json()
        return hold

    async def answer(self, hold: dict[str, Any], *, accept: bool, organization: str = SHELTER) -> httpx.Response:
        """Let the shelter say yes or no to a request."""
        return await self.post(organization, f"/holds/{hold['id']}/answer", {"accept": accept})

    async def let_go(self, organization: str, hold_id: str) -> httpx.Response:
        return await self.http.delete(f"/holds/{hold_id}", headers=self.headers(organization))

    async def state_of(self, hold_id: str) -> tuple[str, str | None]:
        """How a hold of the outreach's is, and why it ended."""
        seen = (await self.get(OUTREACH, f"/holds/{hold_id}")).json()
        return seen["state"], seen["reason"]

    async def counts(self, unit_id: str, organization: str = SHELTER) -> tuple[int, int, int, int]:
        """(available, held, occupied, offline), as the shelter sees it."""
        seen = (await self.get(organization, f"/units/{unit_id}")).json()
        return seen["available"], seen["held"], seen["occupied"], seen["offline"]

    async def all_said(self) -> None:
        """Wait until the log has all that there is to say."""

        async def done() -> bool:
            with direct(self.settings.database_url) as connection:
                return connection.execute("SELECT count(*) FROM outbox").fetchall() == [(0,)]

        await wait_until_async(done, what="all to be said")

    async def values(self, topic: str) -> list[bytes]:
        """Return all records of a topic, each partition's in order."""
        await self.all_said()
        starts = dict.fromkeys(range(load()[topic].partitions), 0)
        return [record.value or b"" async for run in read_all(self.bootstrap, topic, starts) for record in run]

    async def steps(self, hold_id: str) -> list[tuple[str, str | None]]:
        """What was said of a hold, without a bed and of its first bed: (type, reason)."""
        events = [_STEP.decode(value) for value in await self.values("bed-holds")]
        of_hold = [each for each in events if each.data.hold_id == hold_id]
        first = min((each.data.bed_id for each in of_hold if each.data.bed_id), default=None)
        return [
            (str(each.__struct_config__.tag), each.data.reason)
            for each in sorted(of_hold, key=lambda each: (each.time, each.data.order or 0))
            if each.data.bed_id in {None, first}
        ]

    async def said_of(self, unit_id: str) -> list[Unit]:
        """Return all that was said of a unit."""
        said = [_AVAILABILITY.decode(value).data for value in await self.values("bed-availability")]
        return [unit for unit in said if unit.unit_id == unit_id]

    async def end_referral(self, referral_id: str, status: str, originator: str = OUTREACH) -> None:
        """Let a referral end on the log, as the referrals service says it."""
        client_id = random_id()
        referral = {"id": referral_id, "originator": {"organization": originator}, "version": 2, "status": status}
        data = {"client_id": client_id, "referral": referral}
        event = {"type": f"referral.{status}", "id": random_id(), "specversion": "1.0", "data": data}
        async with AIOKafkaProducer(bootstrap_servers=self.bootstrap, acks="all") as producer:
            await producer.send_and_wait("client-events", msgspec.json.encode(event), client_id.encode())

    def sql(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run a statement on the service's database, and return its rows."""
        with direct(self.settings.database_url) as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []


def unit_body(**said: Any) -> dict[str, Any]:
    """What registers a unit; one that shows no counts is asked for holds."""
    asked = {} if said.get("shown", "counts") == "counts" else {"hold_policy": "request"}
    usual = {"name": "Harbor Rooms", "project": "harbor-beds", "household_type": "without_children", "beds": 3}
    return usual | asked | said


@asynccontextmanager
async def opened(database_url: str) -> AsyncIterator[Shelter]:
    """Lend a Kafka with the topics as declared; the service runs while the test says `serving`."""
    async with STANDING_KAFKA.lent() as broker:
        community = Community(now=time.time())
        values = {
            "kafka": broker.bootstrap,
            "root_fingerprint": ROOT_FINGERPRINT,
            "database_url": database_url,
            "allow_loopback_pages": True,
        }
        settings = BedsSettings(**community.setting_values("shelter_beds") | values)
        yield Shelter(broker.bootstrap, settings, community, broker)


def projects(confidential: Collection[tuple[str, str]] = (), tests: Collection[str] = ()) -> APIRouter:
    router = APIRouter(dependencies=[service_only("shelter_beds")])

    @router.get("/organizations/{organization_id}/projects/{project_id}")
    async def project(organization_id: str, project_id: str) -> dict[str, Any]:
        if project_id == "no-such-project":
            raise Problem("not-found")
        return PROJECT | {"victim_service_provider": organization_id == SAFE_HOUSE, "test": organization_id in tests}

    @router.get("/confidential-projects")
    async def confidential_projects() -> dict[str, Any]:
        named = [{"organization": each, "project": project} for each, project in confidential]
        return {"projects": named, "test_organizations": sorted(tests)}

    return router
