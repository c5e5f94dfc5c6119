"""PostgreSQL's disk is full, then Kafka's: nothing acknowledged is lost, and with room all goes on by itself."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus
from typing import Any

import pytest
import pytest_asyncio

from tests.support.answered import answered
from tests.support.providers import Providers, found_community, referral
from tests.support.receiver import receiving
from tests.support.small_disk import small_disk
from tests.support.stack import StackProcess, started_stack
from tests.support.waiting import wait_until_async

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(400)]

POSTGRES_ROOM, KAFKA_ROOM = 24 * 2**20, 8 * 2**20  # bytes
LEFT = 512 * 2**10  # bytes, for a few referrals
MOST = 1_500  # referrals; far fewer fill what is left


@pytest.fixture(scope="module")
def stack() -> Iterator[StackProcess]:
    with started_stack() as stack:
        yield stack


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(stack: StackProcess) -> AsyncIterator[Providers]:
    async with receiving() as receiver:
        yield await found_community(stack, receiver)


async def test_postgresqls_disk_is_full(stack: StackProcess, town: Providers) -> None:
    client = await _consenting(town)
    assert stack.stop() == 0
    with small_disk(stack.home / "postgres", POSTGRES_ROOM) as disk:
        stack.start()
        try:
            disk.fill(but=LEFT)
            made = await _referred_until_refused(town, client)
            print(f"{len(made)} referrals were taken, then none")
            assert made, "with nothing acknowledged nothing can be lost"
            disk.free()
            await _all_there(stack, town, client, made)
        finally:
            stack.stop(signal.SIGTERM)


async def test_kafkas_disk_is_full(stack: StackProcess, town: Providers) -> None:
    if not stack.is_running:
        stack.start()
    client, revoking = await _consenting(town), await _consenting(town)
    assert stack.stop() == 0
    with small_disk(stack.home / "kafka", KAFKA_ROOM) as disk:
        stack.start()
        try:
            disk.fill()
            made = await _referred_until_refused(town, client)
            await _stuck(stack)
            receipt = await town.outreach.call(
                "POST", "consent", f"/clients/{revoking}/revocation", {"requested_by": "client"}
            )
            assert (receipt.status_code, receipt.json()["state"]) == (HTTPStatus.ACCEPTED, "recorded")
            disk.free()
            await _all_there(stack, town, client, made)
            await _effective(town, revoking)
        finally:
            stack.stop(signal.SIGTERM)


async def _consenting(town: Providers) -> str:
    client = await town.outreach.client()
    await town.outreach.grant(town.shelter, client, "identity")
    return client


async def _referred(town: Providers, client: str) -> str:
    made = await answered(town.outreach, "referrals", "/referrals", referral(town.shelter.id, client), 201)
    return str(made["id"])


async def _referred_until_refused(town: Providers, client: str) -> list[str]:
    """Refer until the service says that it can't; it must say so, and not end."""
    made: list[str] = []
    for _ in range(MOST):
        answer = await town.outreach.call("POST", "referrals", "/referrals", referral(town.shelter.id, client))
        if answer.status_code != HTTPStatus.CREATED:
            assert answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE, answer.text
            assert answer.json()["type"] in {"/problems/database-down", "/problems/dependency-down"}
            return made
        made.append(str(answer.json()["id"]))
    raise AssertionError("the disk was never full")


async def _all_there(stack: StackProcess, town: Providers, client: str, made: list[str]) -> None:
    """All that was acknowledged arrives, and life goes on."""
    for name in stack.services:
        await asyncio.to_thread(stack.wait_ready, name, 120)
    later = await _referred(town, client)

    def arrived() -> bool:
        return {later, *made} <= {one.data.get("referral_id") for one in town.shelter.desk.received}

    await wait_until_async(arrived, what="every referral at the shelter", deadline=120)
    listed: list[dict[str, Any]] = []
    page: dict[str, Any] = {"next": ""}
    while page["next"] is not None:
        after = {"after": page["next"]} if page["next"] else {}
        page = await town.outreach.get("referrals", "/referrals", limit=200, **after)
        listed += page["items"]
    assert {later, *made} <= {each["id"] for each in listed}


async def _stuck(stack: StackProcess) -> None:
    """Wait until Kafka has given up, as it does when it can't write."""
    pid = stack.pid("kafka")
    await asyncio.to_thread(stack.wait_restarted, "kafka", pid)


async def _effective(town: Providers, client: str) -> None:
    async def effective() -> bool:
        found = await town.outreach.get("consent", f"/clients/{client}/revocation")
        return bool(found["state"] == "effective")

    await wait_until_async(effective, what="the revocation to be effective", deadline=90)
