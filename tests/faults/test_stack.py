"""The whole stack wounded at work: nothing is lost, nothing leaves after it was stopped."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from services.kit.keys import random_id
from tests.support.providers import Provider, Providers, found_community, referral
from tests.support.receiver import receiving
from tests.support.stack import StackProcess, started_stack
from tests.support.waiting import wait_until_async

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.xdist_group("faults-stack"),
    pytest.mark.timeout(240),
]

CLIENTS = 30


@pytest.fixture(scope="module")
def wounded() -> Iterator[StackProcess]:
    with started_stack() as stack:
        yield stack


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(wounded: StackProcess) -> AsyncIterator[Providers]:
    async with receiving() as receiver:
        yield await found_community(wounded, receiver)


async def test_kafka_webhooks_and_consent_killed_under_load_lose_nothing(
    wounded: StackProcess, town: Providers
) -> None:
    outreach, shelter = town.outreach, town.shelter
    clients = await _consenting(town)
    referred = asyncio.gather(*[_refer_whatever_happens(outreach, shelter, client) for client in clients])
    for name in ("kafka", "webhooks", "consent"):
        await shelter.desk.wait(len(shelter.desk.received) + 1)
        pid = wounded.kill(name)
        await asyncio.to_thread(wounded.wait_restarted, name, pid)
        await asyncio.to_thread(_wait_back, wounded, name)
        # Something to deliver after each wound, whatever of the first was already through.
        await _refer_whatever_happens(outreach, shelter, clients[0])
    ids = set(await referred)

    def all_told() -> bool:
        return ids <= {one.data.get("referral_id") for one in shelter.desk.received}

    await wait_until_async(all_told, what="every referral at the shelter", deadline=120)
    await _assert_one_id_per_message(shelter)


async def test_a_sender_stopped_past_its_lease_sends_nothing_when_it_goes_on(
    wounded: StackProcess, town: Providers
) -> None:
    outreach, shelter = town.outreach, town.shelter
    clients = await _consenting(town)
    before = len(shelter.desk.received)
    await asyncio.gather(*[outreach.refer(shelter, client) for client in clients])
    await shelter.desk.wait(before + 1)
    wounded.kill("webhooks", signal.SIGSTOP)
    try:
        receipts = await asyncio.gather(*[_revoke(outreach, client, wait=20) for client in clients])
        assert {receipt["state"] for receipt in receipts} == {"effective"}
        in_doubt = sum(receipt["in_doubt"] for receipt in receipts)
    finally:
        went_on = time.monotonic()
        wounded.kill("webhooks", signal.SIGCONT)
    await _settled(town)
    late = [one for one in shelter.desk.received if one.at > went_on and one.data.get("client_id") in clients]
    print(f"{len(clients)} revoked while the sender slept, {in_doubt} in doubt, {len(late)} sent after it woke")
    assert late == []


async def test_while_kafka_is_down_posts_answer_and_a_revocation_bites(wounded: StackProcess, town: Providers) -> None:
    outreach, shelter = town.outreach, town.shelter
    [client, *_] = await _consenting(town, 1)
    await outreach.refer(shelter, client)
    await shelter.told(client, "referral.requested")
    with wounded.kafka_down():
        again = await outreach.call("POST", "referrals", "/referrals", referral(shelter.id, client))
        assert again.status_code == 201
        receipt = await _revoke(shelter, client)
        assert receipt["state"] == "recorded"
        replayed = await _replay_last(shelter)
        assert replayed.status_code in {202, 200, 503}
        assert len(shelter.heard(client)) == 1, "nothing about her after the stop was recorded"

    async def effective() -> bool:
        path = f"/clients/{client}/revocation"
        return bool((await shelter.get("consent", path))["state"] == "effective")

    await wait_until_async(effective, what="the revocation to be effective", deadline=90)
    assert [message for message in shelter.heard(client) if message["data"]["verdict"] == "permit"][1:] == []


def _wait_back(stack: StackProcess, name: str) -> None:
    if name == "kafka":
        stack.wait_kafka()
    else:
        stack.wait_ready(name)


async def _consenting(town: Providers, count: int = CLIENTS) -> list[str]:
    clients = [await town.outreach.client() for _ in range(count)]
    await asyncio.gather(*[town.outreach.grant(town.shelter, client, "identity") for client in clients])
    return clients


async def _refer_whatever_happens(outreach: Provider, shelter: Provider, client: str) -> str:
    """Refer as a client program should: the same key again until there is an answer."""
    key, body = random_id(), referral(shelter.id, client)

    async def made() -> str | None:
        try:
            answer = await outreach.http.post(
                f"{outreach.services['referrals']}/referrals", json=body, headers={"Idempotency-Key": key}
            )
        except httpx.TransportError:
            return None
        assert answer.status_code in {201, 503}, answer.text
        return str(answer.json()["id"]) if answer.status_code == 201 else None

    return await wait_until_async(made, what="a referral to be taken", deadline=90)


async def _assert_one_id_per_message(shelter: Provider) -> None:
    """What came twice came under one id, so that its receiver can tell."""
    ids: dict[tuple[str, str], set[str]] = {}
    for one in shelter.desk.received:
        one.verified(shelter.secret)
        ids.setdefault((one.body["type"], one.data["referral_id"]), set()).add(one.webhook_id)
    repeated = len(shelter.desk.received) - len(ids)
    print(f"{len(ids)} messages, {repeated} of them came again under the same id")
    assert all(len(found) == 1 for found in ids.values())


async def _revoke(desk: Provider, client: str, **parameters: int) -> dict[str, Any]:
    body = {"scope": "all", "requested_by": "client"}
    answer = await desk.call("POST", "consent", f"/clients/{client}/revocation", body, **parameters)
    assert answer.status_code in {200, 202}, answer.text
    receipt: dict[str, Any] = answer.json()
    return receipt


async def _settled(town: Providers) -> None:
    """Wait until no delivery to the shelter waits or is being sent."""

    async def settled() -> bool:
        page = await town.shelter.get("webhooks", f"/endpoints/{town.shelter.endpoint}/deliveries", limit=200)
        return all(one["state"] not in {"pending", "sending"} for one in page["items"])

    await wait_until_async(settled, what="the sender to be done", deadline=90)


async def _replay_last(shelter: Provider) -> httpx.Response:
    page = await shelter.get("webhooks", f"/endpoints/{shelter.endpoint}/deliveries", limit=200)
    return await shelter.call("POST", "webhooks", f"/deliveries/{page['items'][-1]['id']}/replay")
