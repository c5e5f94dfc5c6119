"""A running governance with its log and its tables, in which doubts about control are planted."""

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import psycopg
from aiokafka import AIOKafkaProducer
from fastapi import FastAPI
from prometheus_client import REGISTRY

from policy.control import Control
from policy.state import PartitionState
from policy.step import Fold
from services.governance.app import compose
from services.governance.settings import GovernanceSettings
from services.kit import keys
from services.kit.auth import Scope
from services.kit.broker import Record, read_all
from tests.support.callers import Community, bearer, calling
from tests.support.log import PARTITIONS
from tests.support.own_kafka import STANDING_KAFKA
from tests.support.tables import direct
from tests.support.waiting import wait_until_async

PARTIES = ("outreach", "shelter")
MORE_PARTIES = (*PARTIES, "clinic")
TERM = {"from": ["outreach"], "to": ["shelter"], "purposes": ["shelter-placement"], "deidentified": True}
HURT = 5  # a partition


@dataclass
class House:
    """A running governance, its log and its tables."""

    app: FastAPI
    http: httpx.AsyncClient
    settings: GovernanceSettings
    producer: AIOKafkaProducer
    community: Community
    agreements: list[str] = field(default_factory=list)

    async def post(self, path: str, body: object, organization: str | None = None, wait: int = 10) -> Any:
        self.community.now = time.time()
        scopes = [Scope.ADMIN] if organization is None else [Scope.AGREEMENTS_APPROVE]
        headers = bearer(self.community.token(organization, scopes)) | {"Prefer": f"wait={wait}"}
        answer = await self.http.post(path, json=body, headers=headers)
        assert answer.status_code in {200, 201, 202}, answer.text
        return answer.json()

    async def organization(self, id_: str) -> None:
        await self.post("/organizations", about(id_))

    async def agreed(self, parties: Sequence[str] = PARTIES, **more: str) -> str:
        """Put an agreement in force and return its id."""
        proposed = {"title": "Beds", "parties": parties, "terms": [TERM], **more}
        made = (await self.post("/agreements", proposed))["id"]
        answers = [await self.post(f"/agreements/{made}/approvals", {}, party) for party in parties]
        assert answers[-1]["status"] == "active"
        return str(made)

    async def records(self, partition: int = HURT) -> list[Record]:
        runs = read_all(self.settings.kafka, "client-events", {partition: 0})
        return [record async for run in runs for record in run]

    async def control(self, partition: int = HURT) -> Control:
        """What the boundary knows of control at the end of a partition."""
        fold = Fold(PartitionState(partition=partition, root_fingerprint=self.settings.root_fingerprint))
        for one in await self.records(partition):
            fold.step(one.timestamp_ms, one.key, one.headers, one.value)
        return fold.state.control

    async def plant(self, key: str, value: bytes) -> None:
        await self.producer.send_and_wait("client-events", value, key.encode(), HURT)

    async def restated(self) -> Control:
        """Wait until no partition is in doubt and all were restated alike."""

        async def same() -> Control | None:
            found = [await self.control(partition) for partition in range(PARTITIONS)]
            same = all((one.marks, one.floor) == (found[0].marks, found[0].floor) for one in found)
            return found[HURT] if same and not any(one.in_doubt for one in found) else None

        return await wait_until_async(same, what="the control records to be restated")

    async def restatements(self) -> int:
        return len([record for record in await self.records() if record.key == b"control/restated"])

    async def has(self, organization_id: str) -> bool:
        return organization_id in (await self.control()).organizations

    async def said(self, type_: str) -> tuple[str, bytes]:
        """Wait for a record of a type; the newest one's key and value."""
        ending = f'"{type_}"}}'.encode()

        async def newest() -> Record | None:
            found = [record for record in await self.records() if (record.value or b"").endswith(ending)]
            return found[-1] if found else None

        record = await wait_until_async(newest, what=type_)
        return (record.key or b"").decode(), record.value or b""

    @contextmanager
    def kept_as_it_is(self) -> Iterator[None]:
        """Lock the log's row, so that nothing is said while the block runs."""
        with self.database() as connection, connection.transaction():
            connection.execute("SELECT FROM log_identity FOR UPDATE")
            yield

    def database(self) -> psycopg.Connection[tuple[Any, ...]]:
        return direct(self.settings.database_url)

    async def waiting(self, count: int) -> None:
        """Wait until so many transactions wait for a lock."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        with self.database() as connection:

            def waits() -> bool:
                return connection.execute(query).fetchone() == (count,)

            await wait_until_async(waits, what=f"{count} transactions waiting for a lock")


def about(id_: str) -> dict[str, object]:
    return {"id": id_, "name": id_, "kind": "provider", "victim_service_provider": False, "hipaa_covered": False}


@asynccontextmanager
async def opened(database_url: str) -> AsyncIterator[House]:
    """Run governance on the standing broker, with its parties and one agreement in force."""
    community, signing = Community(), keys.generate()
    async with STANDING_KAFKA.lent() as broker, AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
        values = community.setting_values("governance") | {
            "kafka": broker.bootstrap,
            "database_url": database_url,
            "root_key": community.root_key,
            "governance_signing_key": signing,
            "consent_public_key": keys.generate().public_key(),
            "admin_client_id": "admin",
            "admin_client_secret": "secret",
            "doubt_paged_after": 0.0,
        }
        settings = GovernanceSettings(**values)
        app = compose(settings)
        async with calling(app) as http:
            found = House(app, http, settings, producer, community)
            for name in MORE_PARTIES:
                await found.organization(name)
            await found.agreed()
            yield found


def counted(why: str) -> float | None:
    """How many partitions governance counts as in doubt for this reason."""
    return REGISTRY.get_sample_value("threshold_in_doubt", {"service": "governance", "why": why})
