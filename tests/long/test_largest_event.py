"""The largest referral that the APIs take goes through every topic, whole, to its receiver and to the audit."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from services.kit.broker import read_all
from services.kit.topics import load
from tests.support.largest import largest_segments
from tests.support.log import PARTITIONS
from tests.support.providers import NEED, Providers, consent, found_community
from tests.support.receiver import receiving
from tests.support.stack import StackProcess, started_stack
from tests.support.waiting import wait_until_async

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

PURPOSE = "care-coordination"


@pytest.fixture(scope="module")
def stack() -> Iterator[StackProcess]:
    with started_stack() as stack:
        yield stack


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(stack: StackProcess) -> AsyncIterator[Providers]:
    async with receiving() as receiver:
        yield await found_community(stack, receiver)


async def test_the_largest_referral_arrives_whole(stack: StackProcess, town: Providers) -> None:
    outreach, shelter = town.outreach, town.shelter
    segments = largest_segments()
    await _agreed_on_everything(town, [*segments, "need"])
    client = await outreach.client()
    said = consent(shelter.id, client, categories=[*segments, "need"], purposes=[PURPOSE])
    await outreach.post("consent", "/consents", said, wait=10)
    # More than a body may hold at once comes in several: each makes an event with all that was said before.
    household = segments["household"]
    referral_id = await outreach.refer(
        shelter,
        client,
        purpose=PURPOSE,
        need=NEED | {"needed_on": "2026-12-24", "accessible": True, "pets": True},
        members=[{"client_id": client, "relationship_to_hoh": 1, "segments": {"identity": segments["identity"]}}],
    )
    household["relationship_to_hoh"] = 1
    more = {"client_id": client, "segments": segments}
    await outreach.post("referrals", f"/referrals/{referral_id}/segments", more)
    [told] = await shelter.told(referral_id, "referral.updated")
    shared = told["data"]["shared"]
    assert {name: shared[name] for name in segments} == segments
    assert (await shelter.get("webhooks", "/inbox"))["items"][-1]["data"]["shared"] == shared

    async def accounted() -> list[dict[str, Any]] | None:
        answer = await outreach.call("GET", "audit", f"/clients/{client}/disclosures")
        items = answer.json().get("items", ())  # 404 until audit has read of it
        whole = [one for one in items if set(one["categories"]) == {*segments, "need"}]
        return whole or None

    assert await wait_until_async(accounted, what="the accounting to have it")
    for topic in ("client-events", "disclosures", "deliveries"):
        largest, limit = await _largest(stack, topic), load()[topic].max_message_bytes
        print(f"{topic}: the largest record has {largest} bytes, of {limit} that it may")
        assert largest < limit
    replayed = await asyncio.to_thread(_replayed, stack)
    assert replayed.returncode == 0, replayed.stdout


async def _agreed_on_everything(town: Providers, categories: list[str]) -> None:
    parties = [town.outreach, town.shelter]
    term = {"from": [town.outreach.id], "to": [town.shelter.id], "purposes": [PURPOSE], "categories": categories}
    proposal = {"title": "All", "parties": [one.id for one in parties], "terms": [term | {"deidentified": False}]}
    agreement = (await town.outreach.post("governance", "/agreements", proposal))["id"]
    approved = [await party.post("governance", f"/agreements/{agreement}/approvals", wait=10) for party in parties]
    assert approved[-1]["status"] == "active"


def _replayed(stack: StackProcess) -> subprocess.CompletedProcess[str]:
    where = {"THRESHOLD_HOME": str(stack.home), "THRESHOLD_PORT_BASE": str(stack.port_base)}
    command = (sys.executable, "-m", "services.cli", "audit", "replay")
    return subprocess.run(command, env={**os.environ, **where}, capture_output=True, text=True, check=False)


async def _largest(stack: StackProcess, topic: str) -> int:
    runs = [run async for run in read_all(stack.kafka, topic, dict.fromkeys(range(PARTITIONS), 0))]
    return max(len(record.value or b"") for run in runs for record in run)
