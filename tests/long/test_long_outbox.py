"""A hundred thousand rows wait while Kafka is away: once it is back they drain in order, soon, and in little memory."""

import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from policy import canonical
from schemas.beds import Hold, HoldEvent, HoldPlaced, HoldReleased
from services.kit.broker import read_all
from services.kit.database import migrate
from services.kit.keys import random_id
from services.kit.topics import load
from services.shelter_beds.saying import HOLDS
from tests.conftest import Databases
from tests.support.bed_holders import double_holders
from tests.support.ports import free_port_base
from tests.support.service_process import ServiceProcess
from tests.support.shared_stack import RUN_FOLDER
from tests.support.shelter import Shelter, opened
from tests.support.tables import direct
from tests.support.waiting import wait_until_async

BEDS, STEPS = 500, 200
WITHIN = 300.0  # seconds, on a machine that does other things too
MORE_MEMORY = 100 * 2**20  # bytes
COPY = "COPY outbox (aggregate, topic, key, body) FROM STDIN"


@pytest_asyncio.fixture
async def shelter(postgres: Databases) -> AsyncIterator[Shelter]:
    async with opened(postgres.create_database("shelter_beds")) as found:
        yield found


@pytest.mark.timeout(500)
async def test_a_hundred_thousand_rows_drain_in_order_once_kafka_is_back(shelter: Shelter) -> None:
    migrate("shelter_beds", shelter.settings.database_url)
    log = Path(tempfile.mkdtemp(dir=os.environ[RUN_FOLDER])) / "shelter_beds.log"
    with free_port_base() as base:
        process = ServiceProcess(shelter.settings, base + 4, log)
        try:
            await process.start()
            before = process.resident
            shelter.broker.kill()
            _put_all(shelter)
            [(last,)] = shelter.sql("SELECT max(id) FROM outbox")
            await shelter.broker.start()
            began, used = time.monotonic(), process.processor_seconds
            most = before

            def drained() -> bool:
                nonlocal most
                most = max(most, process.resident)
                return (
                    shelter.sql("SELECT id FROM outbox WHERE id = %s", last) == []
                )  # to count them all would take its time

            await wait_until_async(drained, what="the outbox to drain", deadline=WITHIN)
            await shelter.all_said()
            seconds = time.monotonic() - began
            rate, grown = BEDS * STEPS / seconds, (most - before) / 2**20
            used = process.processor_seconds - used
            print(f"{BEDS * STEPS} rows in {seconds:.1f} s ({rate:,.0f}/s), {used:.0f} s of a processor")
            print(f"{grown:.0f} MB more memory at most")
            assert most - before < MORE_MEMORY
            await process.stop()
        finally:
            process.kill()
    values = await _said(shelter)
    assert len(values) >= BEDS * STEPS
    assert double_holders(values) == [], "each bed's records are there, in their order"


def _put_all(shelter: Shelter) -> None:
    with direct(shelter.settings.database_url) as connection, connection.cursor().copy(COPY) as rows:
        for row in _rows():
            rows.write_row(row)


def _rows() -> Iterator[tuple[str, str, bytes, bytes]]:
    """Steps of holds, one bed after another and again, as their changes would have come."""
    beds = [random_id() for _ in range(BEDS)]
    holds = dict.fromkeys(beds, "")
    for step in range(STEPS):
        kind: type[HoldEvent] = HoldReleased if step % 2 else HoldPlaced
        for bed in beds:
            holds[bed] = holds[bed] if step % 2 else random_id()
            hold = Hold(holds[bed], "unit", "shelter", "outreach", bed_id=bed, order=step + 1, bed_ids=(bed,))
            event = kind(id=random_id(), source="/test", time="2026-11-26T12:00:00Z", specversion="1.0", data=hold)
            yield bed, HOLDS, bed.encode(), canonical.encode(event)


async def _said(shelter: Shelter) -> list[bytes]:
    starts = dict.fromkeys(range(load()[HOLDS].partitions), 0)
    return [record.value or b"" async for run in read_all(shelter.bootstrap, HOLDS, starts) for record in run]
