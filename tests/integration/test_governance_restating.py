"""A damaged or forged control record leaves a partition in doubt; governance says, from its tables, what holds."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
import psycopg
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from fastapi import FastAPI
from prometheus_client import REGISTRY

from policy.control import Control
from policy.state import PartitionState
from policy.step import Fold
from services.governance import bodies, directory, restating
from services.governance.app import compose
from services.governance.restating import WHYS, Restating
from services.governance.settings import GovernanceSettings
from services.kit import keys
from services.kit.auth import Scope
from services.kit.broker import Record, read_all
from services.kit.control import ControlView
from services.kit.database import Database
from services.kit.lasting import Lasting
from services.kit.signing import Signer
from tests.conftest import Databases
from tests.support.callers import Community, bearer, calling
from tests.support.log import PARTITIONS, decode_event
from tests.support.own_kafka import STANDING_KAFKA
from tests.support.tables import direct
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.asyncio(loop_scope="module")

PARTIES = ("outreach", "shelter")
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

    async def agreed(self) -> str:
        """Put an agreement in force and return its id."""
        made = (await self.post("/agreements", {"title": "Beds", "parties": PARTIES, "terms": [TERM]}))["id"]
        answers = [await self.post(f"/agreements/{made}/approvals", {}, party) for party in PARTIES]
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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(postgres: Databases) -> AsyncIterator[House]:
    community, signing = Community(), keys.generate()
    async with STANDING_KAFKA.lent() as broker, AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
        values = community.setting_values("governance") | {
            "kafka": broker.bootstrap,
            "database_url": postgres.create_database("governance"),
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
            for name in PARTIES:
                await found.organization(name)
            await found.agreed()
            yield found


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """How seldom it restates has a test of its own."""
    monkeypatch.setattr(restating, "AT_MOST_EVERY", timedelta(0))
    monkeypatch.setattr(restating, "TRY_AGAIN_AFTER", 0.1)


Forgery = Callable[[str, bytes], tuple[str, bytes]]
FORGERIES: dict[str, Forgery] = {
    "rubbish": lambda _, __: ("control/rubbish", b"rubbish"),
    "nothing": lambda key, _: (key, b""),
    "truncated": lambda key, value: (key, value[:-40]),
    "respelled": lambda key, value: (key, json.dumps(json.loads(value)).encode()),
    "of another control id": lambda _, value: ("control/another", value),
    "of a client": lambda _, value: (keys.random_id(), value),
    "of a stranger": lambda key, value: (key, _by_a_stranger(key, value)),
    "of an unknown type": lambda _, __: (keys.random_id(), b'{"type":"agreement.lost"}'),
}


def _by_a_stranger(key: str, value: bytes) -> bytes:
    event = decode_event(value)
    return Signer("stranger", keys.generate()).sign(event, log_id="log", key=key)  # type: ignore[arg-type]


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES)
async def test_whatever_left_it_every_partition_is_let_out_of_doubt(house: House, forgery: Forgery) -> None:
    before, (key, value) = await house.control(), await house.said("agreement.activated")
    with house.kept_as_it_is():
        await house.plant(*forgery(key, value))
        assert (await house.control()).in_doubt
    after = await house.restated()
    assert (after.organizations, after.agreements, after.keys) == (
        before.organizations,
        before.agreements,
        before.keys,
    )
    assert after.agreements
    assert after.floor > max(before.marks.values())


async def test_what_is_being_said_while_it_is_restated_is_in_it_or_comes_after(house: House) -> None:
    database: Database = house.app.state.database
    async with database.transaction() as session:
        await directory.add_organization(session, bodies.NewOrganization.model_validate(about("latecomer")))
        await house.plant("control/rubbish", b"rubbish")
        await house.waiting(1)
    after = await house.restated()
    assert "latecomer" in after.organizations


async def test_after_a_restatement_a_change_counts_whatever_the_clock_says(house: House) -> None:
    ahead = int((time.time() + 3600) * 1_000_000)
    with house.database() as connection:
        connection.execute("UPDATE log_identity SET floor = %s", [ahead])
    await house.plant("control/rubbish", b"rubbish")
    assert (await house.restated()).floor > ahead
    await house.organization("afterwards")
    await wait_until_async(lambda: house.has("afterwards"), what="the change to count")
    made = await house.agreed()
    await house.plant("control/rubbish", b"rubbish")  # and so does the next restatement
    after = await house.restated()
    assert "afterwards" in after.organizations
    assert made in after.agreements


async def test_what_is_suspended_stays_so(house: House) -> None:
    made = await house.agreed()
    activated = await house.said("agreement.activated")
    await house.post(f"/agreements/{made}/suspension", {}, PARTIES[0], wait=0)
    suspended = await house.said("agreement.suspended")
    await house.plant(suspended[0], suspended[1][:-40])
    await house.plant(*activated)
    after = await house.restated()
    assert made not in after.agreements
    newest = decode_event((await house.said("control.restated"))[1])
    assert made not in {one.id for one in newest.data.agreements}  # type: ignore[union-attr]
    assert len(after.agreements) > 0


async def test_what_the_tables_have_lost_is_not_restated_but_paged(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    await house.organization("lost")
    await wait_until_async(lambda: house.has("lost"), what="the record")
    before = await house.restatements()
    with house.database() as connection:
        connection.execute("UPDATE organizations SET last_order = last_order - 1 WHERE id = 'lost'")
    await house.plant("control/rubbish", b"rubbish")
    await wait_until_async(lambda: _count("governance", "behind-the-log") == 1, what="it to be counted")
    assert (await house.control()).in_doubt
    assert await house.restatements() == before
    paged = [line for line in capsys.readouterr().out.splitlines() if "a doubt lasts" in line]
    assert [json.loads(line)["why"] for line in paged][-1:] == ["behind-the-log"]
    with house.database() as connection:
        connection.execute("UPDATE organizations SET last_order = last_order + 1 WHERE id = 'lost'")
    await house.restated()


async def test_however_many_notice_it_and_however_often_it_is_restated_once_in_a_while(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restating, "AT_MOST_EVERY", timedelta(minutes=1))
    before = await house.restatements()
    with house.database() as connection:
        connection.execute("UPDATE log_identity SET restated_at = NULL")
    async with _others(house, 3) as others:
        for _ in range(2):
            await house.plant("control/rubbish", b"rubbish")
            await asyncio.gather(*(other.look() for other in others))
        await wait_until_async(lambda: _count("governance", "restating") == 0, what="the doubt to end")
    assert await house.restatements() <= before + 1
    monkeypatch.setattr(restating, "AT_MOST_EVERY", timedelta(0))
    await house.restated()


@asynccontextmanager
async def _others(house: House, count: int) -> AsyncIterator[Sequence[Restating]]:
    """Further processes of governance, as it were."""
    database = Database(house.settings.database_url)
    view = ControlView(house.settings.root_fingerprint, PARTITIONS)
    for partition in range(PARTITIONS):
        for one in await house.records(partition):
            view._partitions[partition].read(one.timestamp_ms, one.key, one.headers, one.value)
    view.confirm(time.monotonic())
    yield [Restating(database, view, Lasting("other", WHYS, 30)) for _ in range(count)]
    await database.close()


def _count(service: str, why: str) -> float | None:
    return REGISTRY.get_sample_value("threshold_in_doubt", {"service": service, "why": why})
