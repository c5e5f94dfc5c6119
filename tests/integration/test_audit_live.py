"""Audit on a real log: the service follows it, `threshold audit` exports and replays it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from bench.workload import Workload
from policy import canonical
from schemas.disclosures import Delivery
from schemas.events import Party
from services.audit.app import compose
from services.kit.auth import Scope
from services.kit.broker import Record
from services.kit.settings import DatabaseSettings
from tests.conftest import Databases
from tests.support.boundary_rig import OUTPUT, SOURCE, BoundaryRig
from tests.support.callers import Community, bearer, calling
from tests.support.log import PARTITIONS
from tests.support.waiting import wait_until_async

WORKLOAD = Workload(seed=20261122, events=2_000, clients=150)
RECORDS = list(WORKLOAD.records())
HALF = len(RECORDS) - 800


@pytest.fixture
def rig(stack_home: Path, port_base: int) -> Iterator[BoundaryRig]:
    rig = BoundaryRig(stack_home, port_base, WORKLOAD.root_fingerprint)
    yield rig
    rig.end()


@pytest.mark.timeout(120)
async def test_the_log_is_exported_and_replayed_by_fresh_processes(
    rig: BoundaryRig, port_base: int, stack_home: Path, tmp_path: Path
) -> None:
    await rig.start_broker()
    await rig.produce(RECORDS)
    rig.start_boundary()
    await rig.answered()

    def threshold(*arguments: str, seed: str = "0") -> subprocess.CompletedProcess[str]:
        where = {"THRESHOLD_PORT_BASE": str(port_base), "THRESHOLD_HOME": str(stack_home), "PYTHONHASHSEED": seed}
        command = (sys.executable, "-m", "services.cli", "audit", *arguments)
        return subprocess.run(command, env={**os.environ, **where}, capture_output=True, text=True, check=False)

    def replay(*arguments: str, seed: str = "0") -> tuple[int, dict[str, Any]]:
        run = threshold("replay", "--json", "--root", WORKLOAD.root_fingerprint, *arguments, seed=seed)
        return run.returncode, json.loads(run.stdout) | {"seconds": 0}

    exported = tmp_path / "log.jsonl"
    run = threshold("export", str(exported))
    assert (run.returncode, run.stdout) == (0, f"{2 * len(RECORDS)} records in {exported}.\n"), run.stderr
    live, from_file = replay(seed="1"), replay("--from", str(exported), seed="2")
    assert live == from_file
    assert live[0] == 0
    assert (live[1]["compared"], live[1]["undecided"], live[1]["differences"]) == (len(RECORDS), 0, [])

    # Somebody with the boundary's rights on the topic adds a copy that says something else.
    answers = (await rig.read(OUTPUT, [3]))[3]
    forged = json.loads(answers[4].value or b"") | {"result": "decided"}
    async with AIOKafkaProducer(bootstrap_servers=rig.kafka) as producer:
        await producer.send_and_wait(OUTPUT, canonical.encode(forged), answers[4].key, 3)
    difference = {"topic": OUTPUT, "partition": 3, "offset": len(answers), "what": "copy-differs"}
    code, report = replay()
    assert (code, report["compared"], report["differences"]) == (1, len(RECORDS), [difference])

    rig.kill("kafka")
    run = threshold("replay", "--root", WORKLOAD.root_fingerprint)
    assert run.returncode == 1
    assert re.fullmatch(rf"threshold: Kafka at {rig.kafka} does not give the whole log: \w+\.\n", run.stderr), (
        run.stderr
    )


@pytest.mark.timeout(120)
async def test_the_service_follows_the_log_over_its_own_restarts(rig: BoundaryRig, postgres: Databases) -> None:
    await rig.start_broker()
    await rig.produce(RECORDS[:HALF])
    rig.start_boundary()
    url = postgres.create_database("audit")
    async with _serving(rig, url) as asking:
        await wait_until_async(lambda: _some(asking), what="decisions")
    await rig.produce(RECORDS[HALF:])
    await rig.answered()
    async with _serving(rig, url) as asking:
        expected = await _decided(rig)
        rows = await wait_until_async(lambda: _all(asking, len(expected)), what="every decision", deadline=60)
        assert {row["id"]: row["verdict"] for row in rows} == expected
        assert len(rows) == len(expected)
        await _a_delivery_makes_a_row(rig, asking, rows)
    rig.kill("boundary", signal.SIGTERM)


class Asking:
    """Asks the audit service as anyone."""

    def __init__(self, community: Community, http: httpx.AsyncClient) -> None:
        self._community, self._http = community, http

    async def page(self, organization: str | None, scope: Scope, **parameters: Any) -> dict[str, Any]:
        """One page of decisions."""
        headers = bearer(self._community.token(organization, [scope]))
        answer = await self._http.get("/decisions", params=parameters, headers=headers)
        assert answer.status_code == 200, answer.text
        page: dict[str, Any] = answer.json()
        return page


@asynccontextmanager
async def _serving(rig: BoundaryRig, database_url: str) -> AsyncIterator[Asking]:
    community = Community(now=time.time())
    values = community.setting_values("audit") | {"kafka": rig.kafka, "database_url": database_url}
    async with calling(compose(DatabaseSettings(**values)), "audit") as http:
        ready = {"status": "ok", "database": "ok", "kafka": "ok"}

        async def is_ready() -> bool:
            return bool((await http.get("/readyz")).json() == ready)

        await wait_until_async(is_ready, what="audit to be ready")
        yield Asking(community, http)


async def _some(asking: Asking) -> bool:
    return bool((await asking.page(None, Scope.AUDIT_READ_ALL))["items"])


async def _all(asking: Asking, count: int) -> list[dict[str, Any]] | None:
    rows: list[dict[str, Any]] = []
    cursor: dict[str, str] | None = {}
    while cursor is not None:
        page = await asking.page(None, Scope.AUDIT_READ_ALL, limit=200, **cursor)
        rows += page["items"]
        cursor = {"after": page["next"]} if page["next"] else None
    return rows if len(rows) >= count else None


async def _decided(rig: BoundaryRig) -> dict[str, str]:
    """Every decision on the log with its verdict."""
    found: dict[str, str] = {}
    for partition, outputs in (await rig.read(OUTPUT)).items():
        for disclosure in (json.loads(output.value or b"") for output in outputs):
            for decision in disclosure.get("decisions", []):
                name = ":".join(decision["recipient"][part] for part in ("organization", "project"))
                found[f"{partition}/{disclosure['source_offset']}/{name}"] = decision["verdict"]
    return found


async def _a_delivery_makes_a_row(rig: BoundaryRig, asking: Asking, rows: list[dict[str, Any]]) -> None:
    row = next(row for row in rows if row["verdict"] == "permit")
    event = await _event(rig, row["id"])
    client_id, recipient = json.loads(event.value or b"")["data"]["client_id"], row["recipient"]
    delivery = Delivery(
        id="delivery",
        decision_id=row["id"],
        client_id=client_id,
        recipient=Party(organization=recipient),
        channel="inbox",
        attempt=1,
        state="delivered",
        verdict="permit",
        categories=("identity",),
        time="2026-11-22T12:00:00Z",
    )
    async with AIOKafkaProducer(bootstrap_servers=rig.kafka) as producer:
        await producer.send_and_wait("deliveries", canonical.encode(delivery), client_id.encode())

    async def told() -> list[dict[str, Any]] | None:
        items: list[dict[str, Any]] = (await asking.page(recipient, Scope.AUDIT_READ, client_id=client_id))["items"]
        return [item for item in items if item["publisher"] != recipient]

    [received] = await wait_until_async(told, what="the recipient's row")
    assert (received["id"], received["categories"]) == (row["id"], ["identity"])
    assert "pseudonym" not in received


async def _event(rig: BoundaryRig, decision_id: str) -> Record:
    partition, offset = (int(number) for number in decision_id.split("/", 2)[:2])
    assert partition in range(PARTITIONS)
    return (await rig.read(SOURCE, [partition]))[partition][offset]
