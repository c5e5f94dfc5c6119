"""Bad days of a whole stack: PostgreSQL, governance or consent is away for a while, and what everybody sees of it."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus
from typing import Any

import httpx
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from services.kit.broker import read_all
from tests.support.answered import answered
from tests.support.log import PARTITIONS
from tests.support.providers import Providers, found_community, referral
from tests.support.receiver import receiving
from tests.support.stack import StackProcess, started_stack
from tests.support.tables import direct
from tests.support.waiting import wait_until_async

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

CLIENTS = 12
WITH_DATABASE = ("governance", "consent", "referrals", "shelter_beds", "webhooks", "audit")
OUTBOXES = ("governance", "consent", "referrals", "shelter_beds", "webhooks")


@pytest.fixture(scope="module")
def suffering() -> Iterator[StackProcess]:
    with started_stack() as stack:
        yield stack


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(suffering: StackProcess) -> AsyncIterator[Providers]:
    async with receiving() as receiver:
        yield await found_community(suffering, receiver)


async def test_while_postgresql_is_down_each_answer_says_so_and_afterwards_nothing_is_lost(
    suffering: StackProcess, town: Providers
) -> None:
    outreach, shelter = town.outreach, town.shelter
    clients = await _consenting(town, CLIENTS)
    pids = {name: suffering.pid(name) for name in WITH_DATABASE}
    before = [await outreach.refer(shelter, client) for client in clients[:4]]
    with suffering.postgres_down():
        asked = [
            asyncio.create_task(answered(outreach, "referrals", "/referrals", referral(shelter.id, client), 201))
            for client in clients[4:]
        ]
        refused = [
            await outreach.call("POST", "referrals", "/referrals", referral(shelter.id, clients[0])),
            await outreach.call("POST", "consent", f"/clients/{clients[0]}/revocation", {"requested_by": "client"}),
            await outreach.call("GET", "webhooks", "/inbox"),
        ]
        for answer in refused:
            _assert_try_again(answer)
        for name in WITH_DATABASE:
            ready = await outreach.call("GET", name, "/readyz")
            assert ready.status_code == HTTPStatus.SERVICE_UNAVAILABLE
            assert ready.json()["parts"]["database"] == "down"
            assert (await outreach.call("GET", name, "/healthz")).status_code == HTTPStatus.OK
        await _boundary_goes_on(suffering)
    made = [str((await one)["id"]) for one in asked]
    for referral_id in before + made:
        await shelter.told(referral_id, "referral.requested")
    assert len({*before, *made}) == CLIENTS
    listed = await outreach.get("referrals", "/referrals", limit=200)
    assert {each["id"] for each in listed["items"]} == {*before, *made}, "asked again under its key, made once"
    await _all_said(suffering)
    for name in WITH_DATABASE:
        await asyncio.to_thread(suffering.wait_ready, name)
    assert {name: suffering.pid(name) for name in WITH_DATABASE} == pids, "no process had to end for it"


async def test_while_governance_is_down_who_has_a_token_goes_on(suffering: StackProcess, town: Providers) -> None:
    outreach, shelter = town.outreach, town.shelter
    [client, other] = await _consenting(town, 2)
    with suffering.service_down("governance"):
        referral_id = await outreach.refer(shelter, client)
        await shelter.told(referral_id, "referral.requested")
        move = f"/referrals/{referral_id}/transitions"
        await answered(shelter, "referrals", move, {"to": "accepted"}, 200)
        await outreach.told(referral_id, "referral.accepted")
        # The custodian's view of who is who comes from the log: it is as young as ever, and gives and refuses keys.
        receipt = await outreach.post("consent", f"/clients/{other}/revocation", {"requested_by": "client"}, wait=20)
        assert receipt["state"] == "effective"
        granted = await outreach.grant(shelter, other, "identity")
        assert granted["state"] == "accepted"
        again = await outreach.refer(shelter, other)
        [told] = await shelter.told(again, "referral.requested")
        assert told["data"]["verdict"] == "permit"


async def test_while_consent_is_down_nothing_is_sent_and_then_everything(
    suffering: StackProcess, town: Providers
) -> None:
    outreach, shelter = town.outreach, town.shelter
    clients = await _consenting(town, 3)
    suffering.kill("webhooks", signal.SIGSTOP)
    try:
        made = [await outreach.refer(shelter, client) for client in clients]
        heard = len(shelter.desk.received)
        with suffering.service_down("consent"):
            suffering.kill("webhooks", signal.SIGCONT)
            await _attempted(suffering, made)
            _assert_try_again(await outreach.call("POST", "referrals", "/referrals", referral(shelter.id, clients[0])))
            _assert_try_again(await shelter.call("GET", "webhooks", "/inbox"))
            assert len(shelter.desk.received) == heard, "no key, no request"
    finally:
        suffering.kill("webhooks", signal.SIGCONT)
    for referral_id in made:
        [told] = await shelter.told(referral_id, "referral.requested")
        assert told["data"]["verdict"] == "permit"


def _assert_try_again(answer: httpx.Response) -> None:
    assert answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE, answer.text
    said = answer.json()
    assert said["type"] in {"/problems/database-down", "/problems/dependency-down"}
    assert int(answer.headers["Retry-After"]) > 0


async def _consenting(town: Providers, count: int) -> list[str]:
    clients = [await town.outreach.client() for _ in range(count)]
    await asyncio.gather(*[town.outreach.grant(town.shelter, client, "identity") for client in clients])
    return clients


async def _boundary_goes_on(stack: StackProcess) -> None:
    """A copy of what stands on the log, as a relay may send again, is answered as ever."""
    last = [record async for run in read_all(stack.kafka, "client-events", {0: 0}) for record in run][-1]
    before = await _answers(stack, 0)
    async with AIOKafkaProducer(bootstrap_servers=stack.kafka, acks="all") as producer:
        await producer.send_and_wait("client-events", last.value, last.key, partition=0)

    async def answered_too() -> bool:
        return await _answers(stack, 0) > before

    await wait_until_async(answered_too, what="the boundary's answer")


async def _answers(stack: StackProcess, partition: int) -> int:
    place = TopicPartition("disclosures", partition)
    assert partition < PARTITIONS
    async with AIOKafkaConsumer(bootstrap_servers=stack.kafka) as consumer:
        return int((await consumer.end_offsets([place]))[place])


async def _all_said(stack: StackProcess) -> None:
    def waiting() -> dict[str, int]:
        found = {}
        for name in OUTBOXES:
            with direct(stack.database(name)) as connection:
                [(found[name],)] = connection.execute("SELECT count(*) FROM outbox").fetchall()
        return found

    await wait_until_async(lambda: not any(waiting().values()), what="every outbox to be empty", deadline=60)


async def _attempted(stack: StackProcess, referral_ids: list[str]) -> None:
    """Wait until each delivery to the shelter was tried in vain, and is to be tried again."""
    query = (
        "SELECT count(*) FROM deliveries JOIN decisions ON decisions.number = decision"
        " WHERE referral_id = ANY(%s) AND attempt >= 1 AND state = 'pending'"
    )

    def tried() -> bool:
        with direct(stack.database("webhooks")) as connection:
            rows: list[tuple[Any, ...]] = connection.execute(query, [referral_ids]).fetchall()
        return rows == [(len(referral_ids),)]

    await wait_until_async(tried, what="each delivery to be tried", deadline=60)
