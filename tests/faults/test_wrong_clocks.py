"""A broker's clock is wrong: the boundary's time goes wrong with it, and nothing crosses that is not permitted now."""

import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from kafka.admin import ConfigResource, KafkaAdminClient

from schemas.disclosures import Disclosure
from tests.conftest import Databases
from tests.support.boundary_rig import OUTPUT, SOURCE, BoundaryRig
from tests.support.disclosing import Disclosing
from tests.support.log import Log
from tests.support.registry import Registry, founded
from tests.support.waiting import wait_until_async

MINUTE = 60_000  # milliseconds
WRONG_BY = 50 * MINUTE
NAME: Any = {"identity": {"first_name": "Rosa"}}


@pytest.fixture
def rig(stack_home: Path, port_base: int) -> Iterator[BoundaryRig]:
    rig = BoundaryRig(stack_home, port_base)
    yield rig
    rig.end()


@pytest_asyncio.fixture
async def registry(postgres: Databases) -> AsyncIterator[Registry]:
    async with founded(postgres) as found:
        yield found


async def test_the_boundarys_time_never_goes_back_and_is_ahead_with_its_broker(rig: BoundaryRig) -> None:
    """Stamped as a broker would whose clock goes back, then ahead, then right: `at` is the latest stamp so far."""
    now = time.time_ns() // 1_000_000
    world = Disclosing(Log(now=now))
    outreach, shelter = world.organization("outreach"), world.organization("shelter")
    world.agree(outreach, shelter)
    clients = {name: world.client() for name in ("ended", "lasts", "soon")}
    world.grant(clients["ended"], outreach, shelter, "identity", expires_at=_at(now + MINUTE))
    world.grant(clients["lasts"], outreach, shelter, "identity", expires_at=_at(now + 30 * MINUTE))
    world.grant(clients["soon"], outreach, shelter, "identity", valid_from=_at(now + 30 * MINUTE))
    first = len(world.answers)

    def refer(name: str, stamped: int) -> None:
        world.log.now = stamped
        world.refer(clients[name], outreach, shelter, NAME)

    ten_minutes_on = now + 10 * MINUTE
    for name in clients:
        refer(name, ten_minutes_on - WRONG_BY)
    for name in clients:
        refer(name, ten_minutes_on + WRONG_BY)
    for name in clients:
        refer(name, ten_minutes_on)
    verdicts = await _decided(rig, world)
    behind, ahead, right = (verdicts[first + 3 * each : first + 3 * each + 3] for each in range(3))
    # Behind, time stands still: what ended nine minutes ago is still permitted here; the custodian knows better.
    assert behind == ["permit", "permit", "deidentified"]
    # Ahead, consents end early and begin early; the custodian knows better of the latter.
    assert ahead == ["deidentified", "deidentified", "permit"]
    assert right == ahead, "once it was later it is never earlier again"


async def test_the_custodian_decides_by_its_databases_time_whatever_the_boundary_believed(registry: Registry) -> None:
    soon, ending = await registry.client(), await registry.client()
    await registry.permit(soon, valid_from=(datetime.now(UTC) + timedelta(minutes=30)).isoformat())
    await registry.permit(ending, expires_at=(datetime.now(UTC) + timedelta(seconds=3)).isoformat())
    early, late = await registry.sealed(soon), await registry.sealed(ending)
    assert (await registry.release(late.asked()))["verdict"] == "permit"
    released = await registry.release(early.asked())
    assert released["verdict"] != "permit"
    assert _identifying(released) == []

    async def ended() -> dict[str, Any] | None:
        answer = await registry.release(late.asked(event_type="referral.updated"))
        return answer if answer["verdict"] != "permit" else None

    assert _identifying(await wait_until_async(ended, what="the consent to end")) == []


def _at(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds // 1000, UTC)


async def _decided(rig: BoundaryRig, world: Disclosing) -> list[str]:
    """Let the boundary decide the world's records as they are stamped; return each one's verdict, "" where none is."""
    await rig.start_broker()
    rig.start_boundary()
    await wait_until_async(lambda: _is_ready(rig), what="the boundary to be ready", deadline=60)
    admin = KafkaAdminClient(bootstrap_servers=rig.kafka)
    admin.alter_configs([ConfigResource("TOPIC", SOURCE, {"message.timestamp.type": "CreateTime"})])
    admin.close()
    async with AIOKafkaProducer(bootstrap_servers=rig.kafka, acks="all") as producer:
        for record in world.log.records:
            await producer.send_and_wait(SOURCE, record.value, record.key, 0, timestamp_ms=record.timestamp)
    await rig.answered([0])
    outputs = (await rig.read(OUTPUT, [0]))[0]
    assert [output.value for output in outputs] == [answer.value for answer in world.answers]
    disclosures = [msgspec.json.decode(output.value or b"", type=Disclosure) for output in outputs]
    return [each.decisions[0].verdict if each.decisions else "" for each in disclosures]


def _is_ready(rig: BoundaryRig) -> bool:
    try:
        return httpx.get(f"{rig.url}/readyz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def _identifying(released: dict[str, Any]) -> list[str]:
    """The categories of which keys were given out, but for the need."""
    return [name for name in released.get("categories", []) if name != "need"]
