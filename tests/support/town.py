"""A town around the referrals service: a new log with a boundary on it, and the others' words written by the test.

Governance's and consent's records are signed as those services sign them. Of consent's API there is the one address
that the referrals service asks, with real keys behind it.
"""

import os
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from aiokafka import AIOKafkaProducer
from fastapi import FastAPI
from faust.contrib.asgi import faust_app_running

from schemas.records import ReferralEvents
from services.boundary.settings import BoundarySettings
from services.boundary.worker import Boundary
from services.kit.auth import Scope
from services.kit.broker import read_all
from services.kit.clients import ServiceClient
from services.kit.sealing import SealContext, box_key, open_box, unwrap
from services.kit.service import create_service
from services.kit.settings import DatabaseSettings
from services.referrals.app import compose
from tests.support.callers import Community, bearer
from tests.support.chronicle import OUTREACH, PURPOSE, SHELTER, Chronicle
from tests.support.key_desk import KeyDesk
from tests.support.log import LOG_ID, PARTITIONS, ROOT_FINGERPRINT
from tests.support.own_kafka import STANDING_KAFKA
from tests.support.shared_stack import RUN_FOLDER
from tests.support.tables import direct
from tests.support.waiting import wait_until_async

SCOPES = (Scope.REFERRALS_WRITE, Scope.REFERRALS_READ)
BACKFILL = (*SCOPES, Scope.REFERRALS_BACKFILL)


@dataclass(kw_only=True)
class Town(Chronicle):
    """The running parts, and what a test does with them."""

    community: Community
    settings: DatabaseSettings
    keys: KeyDesk = field(default_factory=KeyDesk)
    running: AsyncExitStack = field(default_factory=AsyncExitStack)
    http: httpx.AsyncClient = field(init=False)
    app: FastAPI = field(init=False)

    # --- the referrals service

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Run the referrals service; as often as a test wants, on the same tables."""
        consent_app = create_service(self.community.settings("consent"), routers=[self.keys.router()])
        transport = httpx.ASGITransport(app=consent_app)
        self.app = compose(self.settings, ServiceClient(self.settings, "consent", transport=transport))
        transport = httpx.ASGITransport(app=self.app)  # what the service did not foresee fails the test
        async with (
            self.app.router.lifespan_context(self.app),
            httpx.AsyncClient(transport=transport, base_url="http://referrals.test") as self.http,
        ):
            yield

    async def start(self) -> None:
        """Let the referrals service run until `stop`."""
        await self.running.enter_async_context(self.serving())

    async def stop(self) -> None:
        """End it cleanly."""
        await self.running.aclose()

    def headers(self, organization: str, scopes: Sequence[Scope] = SCOPES) -> dict[str, str]:
        self.community.now = time.time()
        return bearer(self.community.token(organization, scopes))

    async def post(
        self, organization: str, path: str, body: object, *, scopes: Sequence[Scope] = SCOPES, key: str | None = None
    ) -> httpx.Response:
        headers = self.headers(organization, scopes) | ({"Idempotency-Key": key} if key else {})
        return await self.http.post(path, json=body, headers=headers)

    async def get(self, organization: str, path: str, **parameters: str) -> httpx.Response:
        return await self.http.get(path, params=parameters, headers=self.headers(organization))

    async def refer(self, organization: str = OUTREACH, **changes: Any) -> str:
        """Publish a referral and return its id."""
        scopes = BACKFILL if changes.get("historical") else SCOPES
        made = await self.post(organization, "/referrals", self.body(organization, **changes), scopes=scopes)
        assert made.status_code == 201, made.text
        return str(made.json()["id"])

    def body(self, organization: str = OUTREACH, client_id: str | None = None, **changes: Any) -> dict[str, Any]:
        client = client_id or self.keys.client(organization)
        return {
            "members": [self.member(client)],
            "to": {"organization": SHELTER},
            "service": "ES",
            "purpose": PURPOSE,
            "need": {"household_type": "without_children", "household_size": 1, "beds": 1},
            "call_back": f"desk-{organization}",
        } | changes

    def member(self, client_id: str, relationship: int = 1, **segments: Any) -> dict[str, Any]:
        return {"client_id": client_id, "relationship_to_hoh": relationship, "segments": segments}

    async def move(self, organization: str, name: str, to: str, **more: Any) -> httpx.Response:
        return await self.post(organization, f"/referrals/{name}/transitions", {"to": to, **more})

    async def own_view(self, referral_id: str, organization: str = OUTREACH) -> dict[str, Any]:
        answer = await self.get(organization, f"/referrals/{referral_id}")
        assert answer.status_code == 200, answer.text
        view: dict[str, Any] = answer.json()
        return view

    async def crossing(self, referral_id: str, **expected: object) -> dict[str, Any]:
        """Wait until the first member's crossing is as expected, and return it."""

        async def found() -> dict[str, Any] | None:
            first: dict[str, Any] = (await self.own_view(referral_id))["crossing"][0]
            return first if expected.items() <= first.items() else None

        return await wait_until_async(found, what=f"a crossing with {expected}")

    async def shown(self, organization: str, name: str, status: str | int) -> dict[str, Any]:
        """Wait until a party sees this status, or gets this answer."""

        async def found() -> dict[str, Any] | None:
            answer = await self.get(organization, f"/referrals/{name}")
            body: dict[str, Any] = answer.json()
            return body if status in {answer.status_code, body.get("status")} else None

        return await wait_until_async(found, what=f"{status} to be shown")

    # --- what became of it

    async def all_read(self) -> None:
        """Wait until the service has read all that stands on client-events, and said all that it has to say."""

        async def done() -> bool:
            ends = dict.fromkeys(range(PARTITIONS), 0)
            async for run in read_all(self.bootstrap, "client-events", ends):
                ends[run[0].partition] = run[-1].offset + 1
            with direct(self.settings.database_url) as connection:
                waiting = connection.execute("SELECT count(*) FROM outbox").fetchall()
                stands = connection.execute("SELECT partition, next FROM positions WHERE topic = 'client-events'")
                return waiting == [(0,)] and dict(stands.fetchall()) == ends

        await wait_until_async(done, what="all to be read")

    def do(self, statement: str, *values: object) -> None:
        """Change the service's tables from outside."""
        with direct(self.settings.database_url) as connection:
            connection.execute(statement, values)

    def opened(self, event: ReferralEvents) -> dict[str, dict[str, Any]]:
        """Open all boxes of an event, as the custodian and a recipient could together."""
        data = event.data
        content: dict[str, dict[str, Any]] = {}
        for envelope in data.sealed:
            private_key = self.keys.pairs[data.client_id].private_key
            seal_key = unwrap(envelope, SealContext.of(LOG_ID, data), private_key)
            place: dict[str, Any] = {"client_id": data.client_id, "referral_id": data.referral.id, "seq": envelope.seq}
            for category, box in envelope.boxes.items():
                content[category] = open_box(box, box_key(seal_key, category), category=category, **place)
        return content


@asynccontextmanager
async def founded(database_url: str) -> AsyncIterator[Town]:
    """Bring up a town on a new log; the referrals service runs while the test says `serving`."""
    async with STANDING_KAFKA.lent() as broker, AsyncExitStack() as running:
        community = Community(now=time.time())
        values = {"kafka": broker.bootstrap, "root_fingerprint": ROOT_FINGERPRINT}
        settings = DatabaseSettings(**community.setting_values("referrals") | values | {"database_url": database_url})
        snapshots = Path(tempfile.mkdtemp(dir=os.environ[RUN_FOLDER]))
        boundary = Boundary(
            BoundarySettings(**community.setting_values("boundary") | values | {"snapshots": snapshots})
        )
        producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, acks="all")
        await running.enter_async_context(producer)
        town = Town(broker.bootstrap, producer, community=community, settings=settings)
        await town.found()
        await running.enter_async_context(faust_app_running(boundary.app))
        yield town
