"""The webhooks service amid a new log, a custodian over HTTP, a receiver, and what was decided."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec
import uvicorn
from aiokafka import AIOKafkaProducer
from fastapi import FastAPI

from schemas.disclosures import Delivery
from services.kit.auth import Scope
from services.kit.broker import read_all
from services.kit.keys import random_id
from services.kit.service import create_service
from services.webhooks.app import compose
from services.webhooks.lease import since_boot
from services.webhooks.settings import WebhooksSettings
from tests.support.callers import Community, bearer
from tests.support.custodian import FakeCustodian
from tests.support.disclosing import Disclosing, Made
from tests.support.log import PARTITIONS
from tests.support.own_kafka import STANDING_KAFKA
from tests.support.ports import free_port_base
from tests.support.receiver import Desk, Receiver, receiving
from tests.support.tables import direct
from tests.support.waiting import wait_until_async

DISCLOSURES = "disclosures"


@dataclass
class Clock:
    """The leases' clock; a test may move it on."""

    ahead: float = 0.0

    def __call__(self) -> float:
        return since_boot() + self.ahead


@dataclass
class Endpoint:
    """A registered endpoint: what the API answered, and the desk behind it."""

    organization: str
    id: str
    secret: str
    desk: Desk


@dataclass
class Hooked:
    """The running parts, and what a test does with them."""

    community: Community
    settings: WebhooksSettings
    producer: AIOKafkaProducer
    receiver: Receiver
    disclosing: Disclosing
    custodian: FakeCustodian
    clock: Clock = field(default_factory=Clock)
    written: int = 0
    http: httpx.AsyncClient = field(init=False)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[FastAPI]:
        """Run the service; as often as a test wants, on the same tables."""
        app = compose(self.settings, clock=self.clock)
        transport = httpx.ASGITransport(app=app)  # what the service did not foresee fails the test
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://webhooks.test") as self.http,
        ):
            yield app

    # --- what is decided

    def pair(self, *, deidentified: bool = True) -> tuple[str, str]:
        """Two new organizations with an agreement: who refers, and who is referred to."""
        originator, recipient = (self.disclosing.organization(f"{kind}-{random_id()[:8]}") for kind in ("out", "in"))
        self.disclosing.agree(originator, recipient, deidentified=deidentified)
        return originator, recipient

    def referral(self, pair: tuple[str, str], *, granted: bool = True, **segments: Any) -> Made:
        """A new client of the first referred to the second, with a consent to everything that is sealed."""
        originator, recipient = pair
        client = self.disclosing.client()
        found: Any = segments or {"identity": {"first_name": "Rosalind"}}
        if granted:
            self.disclosing.grant(client, originator, recipient, *found)
        return self.disclosing.refer(client, originator, recipient, found)

    async def publish(self) -> None:
        """Write to `disclosures` what has been decided since."""
        for answer in self.disclosing.answers[self.written :]:
            await self.producer.send(DISCLOSURES, answer.value, answer.key, partition=0)
        await self.producer.flush()
        self.written = len(self.disclosing.answers)

    # --- the API

    def headers(self, organization: str | None, *scopes: Scope) -> dict[str, str]:
        self.community.now = time.time()
        return bearer(self.community.token(organization, scopes or (Scope.WEBHOOKS_MANAGE, Scope.INBOX_READ)))

    async def call(
        self, organization: str | None, method: str, path: str, body: object = None, **more: Any
    ) -> httpx.Response:
        headers = self.headers(organization) | more.pop("headers", {})
        return await self.http.request(method, path, json=body, headers=headers, params=more)

    async def get(self, organization: str, path: str, **parameters: Any) -> Any:
        answer = await self.call(organization, "GET", path, **parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def endpoint(self, organization: str, *types: str, url: str | None = None) -> Endpoint:
        """Register an endpoint at a desk of its own."""
        desk = self.receiver.desk(random_id())
        body = {"url": url or desk.url, "types": list(types) or ["*"]}
        made = await self.call(organization, "POST", "/endpoints", body)
        assert made.status_code == 201, made.text
        return Endpoint(organization, made.json()["id"], made.json()["secret"], desk)

    async def deliveries(self, endpoint: Endpoint) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.get(endpoint.organization, f"/endpoints/{endpoint.id}/deliveries"))[
            "items"
        ]
        return found

    async def delivery(self, endpoint: Endpoint, state: str, deadline: float = 30.0) -> dict[str, Any]:
        """Wait until the endpoint's newest delivery that its owner sees is in this state; return it with attempts."""

        async def found() -> dict[str, Any] | None:
            newest = (await self.deliveries(endpoint))[:1]
            return newest[0] if newest and newest[0]["state"] == state else None

        seen = await wait_until_async(found, what=f"a delivery to be {state}", deadline=deadline)
        whole: dict[str, Any] = await self.get(endpoint.organization, f"/deliveries/{seen['id']}")
        return whole

    # --- what the tables hold

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Look at the tables from outside."""
        with direct(self.settings.database_url) as connection:
            return connection.execute(query, values).fetchall()

    def do(self, statement: str, *values: object) -> None:
        """Change the tables from outside."""
        with direct(self.settings.database_url) as connection:
            connection.execute(statement, values)

    async def wait_states(self, endpoint: Endpoint, *expected: str) -> None:
        """Wait until the endpoint's deliveries are in these states, whoever may see them."""
        query = "SELECT state FROM deliveries WHERE endpoint_id = %s ORDER BY number"
        await wait_until_async(
            lambda: [state for (state,) in self.rows(query, endpoint.id)] == list(expected), what=f"states {expected}"
        )

    # --- what the log was told

    async def told(self, client_id: str) -> list[Delivery]:
        """The records about a client on the topic `deliveries`."""
        found = []
        async for run in read_all(self.settings.kafka, "deliveries", dict.fromkeys(range(PARTITIONS), 0)):
            found += [msgspec.json.decode(record.value or b"", type=Delivery) for record in run]
        return [each for each in found if each.client_id == client_id]

    async def wait_told(self, client_id: str, *states: str) -> list[Delivery]:
        """Wait until exactly these states were told of a client's releases, in this order."""

        async def found() -> list[Delivery] | None:
            records = await self.told(client_id)
            return records if [each.state for each in records] == list(states) else None

        return await wait_until_async(found, what=f"the log to be told {states}")


@asynccontextmanager
async def hooked(database_url: str) -> AsyncIterator[Hooked]:
    """Bring everything up but the service, which runs while the test says `serving`."""
    async with STANDING_KAFKA.lent() as broker, AsyncExitStack() as running:
        port = running.enter_context(free_port_base()) + 2
        community, disclosing = Community(now=time.time()), Disclosing()
        custodian = FakeCustodian(disclosing.clients)
        consent = await running.enter_async_context(_custodian_over_http(community, custodian, port))
        values = {"kafka": broker.bootstrap, "database_url": database_url, "services": {"consent": consent}}
        settings = WebhooksSettings(**community.setting_values("webhooks") | values, allow_loopback_receivers=True)
        producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, acks="all")
        await running.enter_async_context(producer)
        receiver = await running.enter_async_context(receiving())
        yield Hooked(community, settings, producer, receiver, disclosing, custodian)


@asynccontextmanager
async def _custodian_over_http(community: Community, custodian: FakeCustodian, port: int) -> AsyncIterator[str]:
    app = create_service(community.settings("consent"), routers=[custodian.router()])
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, access_log=False))
    serving = asyncio.create_task(server.serve())
    await wait_until_async(lambda: server.started, what="the custodian")
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await serving
