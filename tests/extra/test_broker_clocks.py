"""The broker's clock is fifty minutes behind, right, and as much ahead: the boundary's time goes with it, never back.

The process's own clock is wrong (libfaketime), so it is the broker that stamps wrongly. What the boundary decides then
is only half of what crosses: the custodian has PostgreSQL's time (tests/faults/test_wrong_clocks.py).
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from schemas.disclosures import Disclosure
from tests.support.boundary_rig import OUTPUT, SOURCE, BoundaryRig
from tests.support.disclosing import Disclosing
from tests.support.log import Log
from tests.support.waiting import wait_until_async
from tests.support.wrong_clock import wrong_by

pytestmark = pytest.mark.timeout(300)

BEHIND, RIGHT, AHEAD = timedelta(minutes=-50), timedelta(), timedelta(minutes=50)
ABOUT = timedelta(minutes=2)  # between a record's sending and our look at its time
NAME: Any = {"identity": {"first_name": "Rosa"}}


@pytest.fixture
def rig(stack_home: Path, port_base: int) -> Iterator[BoundaryRig]:
    rig = BoundaryRig(stack_home, port_base)
    yield rig
    rig.end()


async def test_the_boundarys_time_is_its_brokers_and_never_goes_back(rig: BoundaryRig) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    world = Disclosing(Log(now=int(now.timestamp() * 1000)))
    outreach, shelter = world.organization("outreach"), world.organization("shelter")
    world.agree(outreach, shelter)
    clients = {name: world.client() for name in ("ended", "lasts", "soon")}
    world.grant(clients["ended"], outreach, shelter, "identity", expires_at=now - timedelta(minutes=10))
    world.grant(clients["lasts"], outreach, shelter, "identity", expires_at=now + timedelta(minutes=30))
    world.grant(clients["soon"], outreach, shelter, "identity", valid_from=now + timedelta(minutes=30))
    sent = 0

    async def decided_with(clock: timedelta) -> list[str]:
        """Refer all three while the broker has this clock, and return the verdicts."""
        nonlocal sent
        for client in clients.values():
            world.refer(client, outreach, shelter, NAME)
        async with AIOKafkaProducer(bootstrap_servers=rig.kafka, acks="all") as producer:
            for record in world.log.records[sent:]:
                placed = await producer.send_and_wait(SOURCE, record.value, record.key, 0)
                off = datetime.fromtimestamp(placed.timestamp / 1000, UTC) - datetime.now(UTC)
                assert abs(off - clock) < ABOUT, off
        sent = len(world.log.records)
        await rig.answered([0])
        outputs = (await rig.read(OUTPUT, [0]))[0]
        answers = [msgspec.json.decode(one.value or b"", type=Disclosure) for one in outputs]
        assert [one.source_offset for one in answers] == list(range(sent)), "each once, in order"
        assert [one.at for one in answers] == sorted(one.at for one in answers), "never back"
        return [one.decisions[0].verdict for one in answers[-3:]]

    await rig.start_broker(wrong_by(BEHIND))
    rig.start_boundary()
    await wait_until_async(lambda: _is_ready(rig), what="the boundary to be ready", deadline=60)
    # Behind, what has ended ten minutes ago is still permitted here; the custodian knows better.
    assert await decided_with(BEHIND) == ["permit", "permit", "deidentified"]
    for clock, verdicts in (
        (RIGHT, ["deidentified", "permit", "deidentified"]),
        # Ahead, consents end early and begin early; the custodian knows better of the latter.
        (AHEAD, ["deidentified", "deidentified", "permit"]),
        (RIGHT, ["deidentified", "deidentified", "permit"]),  # as late as it was once, though the clock is mended
        (BEHIND, ["deidentified", "deidentified", "permit"]),
    ):
        rig.kill("kafka")
        await rig.start_broker(wrong_by(clock))
        assert await decided_with(clock) == verdicts
    assert rig.ended("boundary") is None, "the same process all the while"


def _is_ready(rig: BoundaryRig) -> bool:
    try:
        return httpx.get(f"{rig.url}/readyz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
