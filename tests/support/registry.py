"""A consent service in this process, on a new log: governance's records are written by the test.

Organizations act through its HTTP API with tokens, other services with assertions. What governance alone can answer,
who shares an identifier system, an application of one address answers.
"""

import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
from aiokafka import AIOKafkaProducer
from fastapi import APIRouter

from policy.control import control_key
from schemas.events import (
    Party,
)
from schemas.records import ControlEvent
from services.consent.app import create_app
from services.consent.settings import ConsentSettings
from services.kit import keys
from services.kit.auth import Scope, service_only
from services.kit.broker import Ends, Record, read_all
from services.kit.clients import Answer, ServiceClient
from services.kit.control import ControlView
from services.kit.keys import SymmetricKey, random_id
from services.kit.problems import Problem
from services.kit.sealing import SealContext, seal
from services.kit.service import create_service
from tests.conftest import Databases
from tests.support.callers import Community, bearer, calling
from tests.support.control_records import (
    ANNEX,
    BYSTANDER,
    OUTREACH,
    PURPOSE,
    SAFE_HOUSE,
    SHELTER,
    Governance,
)
from tests.support.log import CONSENT, GOVERNANCE, LOG_ID, PARTITIONS, ROOT_FINGERPRINT, Log
from tests.support.own_kafka import STANDING_KAFKA, OwnKafka
from tests.support.sealed import CONTENT, Sealed, form
from tests.support.tables import direct
from tests.support.waiting import wait_until_async

SHARED_SYSTEM = "hmis"
SCOPES = (Scope.CLIENTS_WRITE, Scope.CONSENTS_WRITE, Scope.CONSENTS_READ, Scope.CONSENTS_REVOKE)


@dataclass
class Registry:
    """The running service, and what a test does with it."""

    community: Community
    settings: ConsentSettings
    broker: OwnKafka
    producer: AIOKafkaProducer
    systems: dict[str, list[str]] = field(default_factory=lambda: {SHARED_SYSTEM: [OUTREACH, ANNEX]})
    says: Governance = field(default_factory=Governance)
    http: httpx.AsyncClient = field(init=False)
    view: ControlView = field(init=False)
    webhooks: ServiceClient = field(init=False)
    referrals: ServiceClient = field(init=False)
    governance: ServiceClient = field(init=False)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Registry"]:
        """Run the consent service; as often as a test wants, on the same tables."""
        governance = create_service(self.community.settings("governance"), routers=[self._systems()])
        app = create_app(self.settings, governance=httpx.ASGITransport(app=governance))
        transport = httpx.ASGITransport(app=app)
        for name in ("webhooks", "referrals", "governance"):
            setattr(self, name, ServiceClient(self.community.settings(name), "consent", transport=transport))
        self.view = app.state.organizations.view
        async with calling(app, "consent") as self.http:
            yield self

    def _systems(self) -> APIRouter:
        router = APIRouter()

        @router.get("/identifier-systems/{system}", dependencies=[service_only("consent")])
        async def read(system: str) -> dict[str, Any]:
            if system not in self.systems:
                raise Problem("not-found")
            return {"id": system, "organizations": self.systems[system]}

        return router

    # --- as an organization

    async def post(
        self,
        organization: str | None,
        path: str,
        body: object = None,
        *,
        scopes: Iterable[Scope] = SCOPES,
        **headers: str,
    ) -> httpx.Response:
        """POST as an organization; `key` is an Idempotency-Key, `prefer` the header of that name."""
        return await self.http.post(path, json=body, headers=self.headers(organization, scopes, **headers))

    async def get(
        self, organization: str | None, path: str, *, scopes: Iterable[Scope] = SCOPES, **parameters: str
    ) -> httpx.Response:
        return await self.http.get(path, params=parameters or None, headers=self.headers(organization, scopes))

    def headers(
        self, organization: str | None, scopes: Iterable[Scope] = SCOPES, *, key: str = "", prefer: str = ""
    ) -> dict[str, str]:
        self.community.now = time.time()
        optional = {"Idempotency-Key": key, "Prefer": prefer}
        given = {name: value for name, value in optional.items() if value}
        return bearer(self.community.token(organization, scopes)) | given

    async def client(self, organization: str = OUTREACH, *identifiers: tuple[str, str]) -> str:
        """Register a person and return the client id."""
        body = {"identifiers": [{"system": system, "value": value} for system, value in identifiers]}
        made = await self.post(organization, "/clients", body)
        assert made.status_code == 201, made.text
        assert made.json().keys() == {"client_id"}
        return str(made.json()["client_id"])

    def consent(self, client_id: str, /, **changes: Any) -> dict[str, Any]:
        """The body of a permission for the shelter; `changes` replace fields, None leaves one out."""
        body = {
            "client_id": client_id,
            "decision": "permit",
            "to": [SHELTER],
            "categories": ["identity", "household"],
            "purposes": [PURPOSE],
            "expires_at": (datetime.now(UTC) + timedelta(days=30)).isoformat(),
            "form": form("written"),
        } | changes
        return {name: value for name, value in body.items() if value is not None}

    async def permit(self, client_id: str, organization: str = OUTREACH, **changes: Any) -> dict[str, Any]:
        """Record a consent and return it; any decision."""
        made = await self.post(organization, "/consents", self.consent(client_id, **changes))
        assert made.status_code == 201, made.text
        consent: dict[str, Any] = made.json()
        return consent

    async def narrow(
        self, client_id: str, decision: str, organization: str = OUTREACH, **changes: Any
    ) -> dict[str, Any]:
        """Record a refusal or exclusion, said at the desk."""
        changes = {"expires_at": None, "form": form("verbal")} | changes
        return await self.permit(client_id, organization, decision=decision, **changes)

    async def revoke(self, client_id: str, organization: str = OUTREACH, **body: Any) -> dict[str, Any]:
        """Revoke, by default everything, without waiting; return the receipt."""
        asked = await self.post(organization, f"/clients/{client_id}/revocation", {"requested_by": "client", **body})
        assert asked.status_code in (200, 202), asked.text
        receipt: dict[str, Any] = asked.json()
        return receipt

    async def receipt(self, client_id: str, organization: str = OUTREACH, **expected: object) -> dict[str, Any]:
        """Wait until the newest receipt is as expected and return it."""

        async def found() -> dict[str, Any] | None:
            answer = await self.get(organization, f"/clients/{client_id}/revocation")
            assert answer.status_code == 200, answer.text
            receipt: dict[str, Any] = answer.json()
            return receipt if expected.items() <= receipt.items() else None

        return await wait_until_async(found, what=f"a receipt with {expected}")

    # --- as another service

    async def public_key(self, client_id: str, organization: str = OUTREACH, **changes: str) -> Answer:
        parameters = {"organization": organization, "recipient": SHELTER, "purpose": PURPOSE} | changes
        return await self.referrals.get(f"/clients/{client_id}/public-key", parameters)

    async def sealed(
        self, client_id: str, categories: Sequence[str] = ("need", "identity", "health"), **changes: Any
    ) -> Sealed:
        """Seal as referrals does; `changes` are of SealContext."""
        originator = changes.get("originator", Party(organization=OUTREACH))
        key = (await self.public_key(client_id, originator.organization)).json()
        circumstances = {
            "log_id": key["log_id"],
            "client_id": client_id,
            "originator": originator,
            "referral_id": random_id(),
            "purpose": PURPOSE,
            "recipients": (Party(organization=SHELTER),),
        } | changes
        content: Any = {category: CONTENT[category] for category in categories}
        of_key = {name: key[name] for name in ("public_key", "key_id", "suite")}
        return Sealed(SealContext(**circumstances), seal(content, SealContext(**circumstances), seq=1, **of_key))

    async def release(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Ask as webhooks does and return the answer."""
        answer = await self.webhooks.post("/releases", asked)
        assert answer.status_code == 200, answer.text
        released: dict[str, Any] = answer.json()
        return released

    async def settle(self, release_id: str, *states: str) -> None:
        settlements = [{"release_id": release_id, "state": state} for state in states]
        answer = await self.webhooks.post("/releases/settlements", {"settlements": settlements})
        assert answer.status_code == 204, answer.text

    # --- governance's words, the log and the tables

    async def control(self, event: ControlEvent, partitions: Iterable[int] = range(PARTITIONS)) -> None:
        """Write a control record to partitions, and wait until the service has read it."""
        await self.view.reached(await self._write(event, partitions))

    async def records(self, client_id: str) -> list[Record]:
        """Everything on the log about a client."""
        runs = read_all(self.broker.bootstrap, "client-events", dict.fromkeys(range(PARTITIONS), 0))
        return [record async for run in runs for record in run if record.key == client_id.encode()]

    async def ends(self) -> dict[int, int]:
        """The end offset of each partition of the log, as it is now."""
        async with Ends(self.broker.bootstrap, "client-events", PARTITIONS) as ends:
            return await ends.now()

    def database(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Look at the service's tables from outside."""
        return direct(self.settings.database_url)

    async def waiting(self, count: int) -> None:
        """Wait until so many of the service's transactions wait for a lock."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        with self.database() as connection:

            def waits() -> bool:
                row = connection.execute(query).fetchone()
                return row == (count,)

            await wait_until_async(waits, what=f"{count} transactions waiting for a lock")

    async def found(self) -> None:
        """Let the log begin, with organizations and one agreement."""
        for partition in range(PARTITIONS):
            log = Log(partition=partition)
            log.begin()
            for record in log.records:
                await self.producer.send_and_wait("client-events", record.value, record.key, partition)
        founding = [self.says.organization(name) for name in (OUTREACH, SHELTER, ANNEX, SAFE_HOUSE, BYSTANDER)]
        for event in founding:
            await self._write(event, range(PARTITIONS))
        await self._write(self.says.agreement("agreement"), range(PARTITIONS))

    async def _write(self, event: ControlEvent, partitions: Iterable[int]) -> dict[int, int]:
        """Sign and write a control record; return the offset that comes next, by partition."""
        key = control_key(event)
        value = GOVERNANCE.sign(event, log_id=LOG_ID, key=key)
        placed = [await self.producer.send_and_wait("client-events", value, key.encode(), one) for one in partitions]
        return {one.partition: one.offset + 1 for one in placed}


def assert_names(refused: httpx.Response, field: str) -> None:
    """It is refused, and the problem names just this field."""
    assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json"), refused.text
    assert [error["field"] for error in refused.json()["errors"]] == [field]


@asynccontextmanager
async def founded(postgres: Databases) -> AsyncIterator[Registry]:
    """Let a new log begin, with the consent service on it."""
    async with (
        STANDING_KAFKA.lent() as broker,
        _serving(broker, postgres.create_database("consent")) as registry,
    ):
        yield registry


@asynccontextmanager
async def _serving(broker: OwnKafka, database_url: str) -> AsyncIterator[Registry]:
    community = Community(now=time.time())
    values = community.setting_values("consent") | {
        "kafka": broker.bootstrap,
        "root_fingerprint": ROOT_FINGERPRINT,
        "database_url": database_url,
        "consent_signing_key": CONSENT.private_key,
        "key_encryption_key": SymmetricKey(keys.generate_symmetric()),
    }
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap, acks="all") as producer:
        registry = Registry(community, ConsentSettings(**values), broker, producer)
        await registry.found()
        async with registry.serving():
            yield registry
