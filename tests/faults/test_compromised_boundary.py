"""A boundary that lies: what consumers make of a decision that the policy never made, and how it is found."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from msgspec.structs import replace

from policy import canonical
from policy.murmur2 import partition_of
from policy.state import PartitionState
from policy.step import Fold
from schemas.disclosures import Basis, Disclosure
from schemas.records import ReferralRequested
from services.kit.broker import read_all
from tests.support.governance import PARTITIONS
from tests.support.intruder import Intruder, intruding
from tests.support.providers import Providers, found_community
from tests.support.receiver import receiving
from tests.support.stack import StackProcess, started_stack
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def stack() -> Iterator[StackProcess]:
    with started_stack() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(stack: StackProcess) -> AsyncIterator[Providers]:
    async with receiving() as receiver:
        yield await found_community(stack, receiver)


async def true_answer(boundary: Intruder, event: ReferralRequested) -> Disclosure:
    """What the policy answers the newest record of the client's partition, which is this event's."""
    number = partition_of(event.data.client_id.encode(), PARTITIONS)
    fold = Fold(PartitionState(partition=number, root_fingerprint=boundary.settings.root_fingerprint))
    runs = read_all(boundary.stack.kafka, "client-events", {number: 0})
    records = [record async for run in runs for record in run]
    answers = [fold.step(one.timestamp_ms, one.key, one.headers, one.value) for one in records]
    answer = msgspec.json.decode(answers[-1], type=Disclosure)
    assert answer.event is not None
    assert answer.event.id == event.id
    return answer


def lie(answer: Disclosure, event: ReferralRequested, town: Providers) -> bytes:
    """The same, and everything permitted, on a consent that nobody gave."""
    categories = tuple(sorted(event.data.sealed[0].boxes))
    basis = Basis(
        id="never-given",
        version=1,
        discloser=town.outreach.id,
        to=(town.shelter.id,),
        categories=categories,
        purposes=(event.data.purpose,),
        valid_from="2026-01-01T00:00:00Z",
        method="written",
    )
    [decision] = answer.decisions
    permitted = replace(
        decision, verdict="permit", known_as="referral", status="requested", categories=categories, basis=(basis,)
    )
    return canonical.encode(replace(answer, decisions=(permitted,), sealed=event.data.sealed))


async def test_a_decision_written_by_hand_opens_nothing_and_an_auditor_finds_it(
    stack: StackProcess, town: Providers
) -> None:
    client = await town.outreach.client()
    stack.kill("boundary", signal.SIGSTOP)
    old = stack.pid("boundary")
    async with intruding(stack, "boundary") as boundary:
        await town.outreach.refer(town.shelter, client)
        event: Any = await boundary.newest("referral.requested", client)
        answer = await true_answer(boundary, event)
        partition, _ = await boundary.writes("disclosures", client, lie(answer, event, town))

        async def became() -> dict[str, Any] | None:
            said = [json.loads(one.value or b"") for one in await boundary.records("deliveries", client)]
            return said[-1] if said and said[-1]["state"] == "delivered" else None

        delivery = await wait_until_async(became, what="what webhooks made of it")
    assert delivery["decision_id"].startswith(f"{partition}/{answer.source_offset}/")
    assert (delivery["verdict"], delivery["categories"]) == ("deidentified", ["need"]), "the custodian did not agree"
    assert [town.shelter.requests(telltale) for telltale in (client, "Canary-Magdalena")] == [[], []]

    stack.kill("boundary", signal.SIGKILL)
    await asyncio.to_thread(stack.wait_restarted, "boundary", old)
    await asyncio.to_thread(stack.wait_ready, "boundary")
    found = await asyncio.to_thread(replay, stack)
    assert [(one["partition"], one["offset"]) for one in found["differences"]][:1] == [
        (partition, answer.source_offset)
    ]


def replay(stack: StackProcess) -> dict[str, Any]:
    home = {"THRESHOLD_HOME": str(stack.home), "THRESHOLD_PORT_BASE": str(stack.port_base)}
    command = [sys.executable, "-m", "services.cli", "audit", "replay", "--json"]
    done = subprocess.run(command, env={**os.environ, **home}, check=False, capture_output=True, text=True)
    assert done.returncode != 0
    report: dict[str, Any] = json.loads(done.stdout)
    return report
