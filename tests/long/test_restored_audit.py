"""Yesterday's backup of audit: what it lacks it reads again, and nobody who pages through it misses a decision."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench.workload import Workload
from services.audit.app import compose
from services.kit.auth import Scope
from services.kit.settings import DatabaseSettings
from tests.conftest import Databases
from tests.support import backups
from tests.support.boundary_rig import BoundaryRig
from tests.support.callers import Community, bearer, calling
from tests.support.restoring import declare_restored
from tests.support.tables import direct
from tests.support.waiting import wait_until_async

WORKLOAD = Workload(seed=20261126, events=600, clients=60)
RECORDS = list(WORKLOAD.records())
YESTERDAY, TODAY = len(RECORDS) - 400, len(RECORDS) - 100


@pytest.fixture
def rig(stack_home: Path, port_base: int) -> Iterator[BoundaryRig]:
    rig = BoundaryRig(stack_home, port_base, WORKLOAD.root_fingerprint)
    yield rig
    rig.end()


@pytest.mark.timeout(120)
async def test_yesterdays_audit_reads_again_and_no_cursor_passes_a_decision_by(
    rig: BoundaryRig, postgres: Databases, tmp_path: Path
) -> None:
    community = Community(now=time.time())
    values = {"kafka": rig.kafka, "database_url": postgres.create_database("audit")}
    settings = DatabaseSettings(**community.setting_values("audit") | values)
    await rig.start_broker()
    await rig.produce(RECORDS[:YESTERDAY])
    rig.start_boundary()
    await rig.answered()
    async with calling(compose(settings), "audit") as http:
        await _read_to_its_end(settings, YESTERDAY)
        backup = backups.save(settings.database_url, tmp_path / "yesterday")
        await rig.produce(RECORDS[YESTERDAY:TODAY])
        await rig.answered()
        await _read_to_its_end(settings, TODAY)
        seen = {row["id"]: row for row in await _rows(community, http)}
        known, cursor = await _half_way(community, http)
    backups.restore(settings.database_url, backup)
    print(declare_restored(settings))
    async with calling(compose(settings), "audit") as http:
        await rig.produce(RECORDS[TODAY:])
        await rig.answered()
        await _read_to_its_end(settings, len(RECORDS))
        rows = await _rows(community, http)
        assert len({row["id"] for row in rows}) == len(rows)
        assert {row["id"]: row for row in rows}.items() >= seen.items(), "each decision as it was"
        following = [row["id"] for row in await _rows(community, http, after=cursor)]
        assert {*known, *following} == {row["id"] for row in rows}, "who goes on from there misses none"
        assert len(following) == len({*following})


async def _page(community: Community, http: httpx.AsyncClient, **parameters: Any) -> dict[str, Any]:
    community.now = time.time()
    headers = bearer(community.token(None, [Scope.AUDIT_READ_ALL]))
    answer = await http.get("/decisions", params=parameters, headers=headers)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


async def _rows(community: Community, http: httpx.AsyncClient, **cursor: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    following: dict[str, str] | None = cursor
    while following is not None:
        page = await _page(community, http, limit=200, **following)
        rows += page["items"]
        following = {"after": page["next"]} if page["next"] else None
    return rows


async def _half_way(community: Community, http: httpx.AsyncClient) -> tuple[list[str], str]:
    """Page through all but the last page; return what was read, and the cursor to go on from."""
    known: list[str] = []
    cursor: dict[str, str] = {}
    while (page := await _page(community, http, limit=50, **cursor))["next"]:
        known += [row["id"] for row in page["items"]]
        cursor = {"after": page["next"]}
    return known, cursor["after"]


async def _read_to_its_end(settings: DatabaseSettings, records: int) -> None:
    """Wait until audit has read the answer to each of so many records."""
    query = "SELECT coalesce(sum(next), 0) FROM positions WHERE topic = 'disclosures'"

    def done() -> bool:
        with direct(settings.database_url) as connection:
            return connection.execute(query).fetchall() == [(records,)]

    await wait_until_async(done, what=f"{records} answers to be read", deadline=60)
