"""The whole stack wounded at work: nothing is lost, nothing leaves after it was stopped."""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

import httpx
import pytest
import pytest_asyncio

from services.consent.asked import LEASE_SECONDS
from tests.support.answered import answered
from tests.support.inbox_readers import READERS, Read, reading
from tests.support.providers import Provider, Providers, consent, found_community, referral
from tests.support.receiver import receiving
from tests.support.revoking import Crowd, Promise
from tests.support.slow_receiver import SlowReceiver, receiving_slowly
from tests.support.stack import StackProcess, started_stack
from tests.support.waiting import wait_until_async

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(240),
]

CLIENTS = 30
REFERRED = 48  # clients, of whom REVOKING revoke shortly before and after each of three kills
REVOKING = 4


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
    await _wounded_under_load(wounded, town, ("kafka", "webhooks", "consent"), signal.SIGKILL)
    await _assert_one_id_per_message(town.shelter)


async def test_every_service_told_to_end_under_load_loses_nothing(wounded: StackProcess, town: Providers) -> None:
    before = len(town.shelter.desk.received)
    await _wounded_under_load(wounded, town, tuple(wounded.services), signal.SIGTERM)
    await _assert_one_id_per_message(town.shelter)
    came = Counter(one.webhook_id for one in town.shelter.desk.received[before:])
    again = sum(count - 1 for count in came.values())
    print(f"{len(came)} messages, {again} of them came again")


async def test_a_receipt_holds_whatever_is_killed_while_clients_revoke(wounded: StackProcess) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    with receiving_slowly() as receiver:
        crowd = await Crowd.of(await found_community(wounded, receiver), seed, count=REFERRED)
        promises = await _revoked_amid_kills(wounded, crowd, receiver)
        receiver.hurry.set()
        await crowd.all_done(wounded)
    crowd.print_account(promises)
    assert crowd.missing() == [], "what was taken of a client who did not revoke arrives"
    assert {len(ids) for ids in crowd.ids.values()} == {1}, "what comes again comes under the same id"
    certain = [promise for promise in promises if promise.is_certain]
    late = [promise.broken_by(crowd.requests) for promise in certain]
    assert not any(late), f"sent after effective_at with nothing in doubt: {late}"
    print(f"requests that a receipt waited for: {[len(one.waited_for(crowd.requests)) for one in certain]}")
    pending = [crowd.still_to_be_attempted(wounded, promise) for promise in certain]
    said_too_soon = [len(promise.too_soon(2.0).broken_by(crowd.requests)) for promise in certain]
    print(f"0 late; late if said 2 s before it was recorded: {said_too_soon}; to be attempted at it: {pending}")
    assert any(pending), "nothing was to be attempted any more: this shows nothing"
    assert any(said_too_soon), "the check finds nothing even where there is something"


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


async def test_while_kafka_is_down_consents_are_taken_nothing_is_sealed_and_a_revocation_bites(
    wounded: StackProcess, town: Providers
) -> None:
    outreach, shelter = town.outreach, town.shelter
    [client, *_] = await _consenting(town, 1)
    await outreach.refer(shelter, client)
    await shelter.told(client, "referral.requested")
    with wounded.kafka_down():
        newcomer = await outreach.client()
        taken = await outreach.call("POST", "consent", "/consents", consent(shelter.id, newcomer))
        assert (taken.status_code, taken.json()["state"]) == (201, "recorded")

        async def nothing_is_sealed() -> bool:  # as soon as who is a victim service provider is no longer certain
            answer = await outreach.call("POST", "referrals", "/referrals", referral(shelter.id, client))
            assert answer.status_code in {201, 503}
            return answer.status_code == 503

        await wait_until_async(nothing_is_sealed, what="a referral to be refused for now")
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


async def test_what_is_read_once_an_agreement_is_said_to_be_suspended_tells_of_nobody(wounded: StackProcess) -> None:
    async with receiving() as receiver:
        town = await found_community(wounded, receiver)
    # Nobody listens any more: all are told by the inbox alone.
    await asyncio.gather(*[town.outreach.refer(town.shelter, client) for client in await _consenting(town)])
    with reading(town.shelter) as pages:
        await _more(pages, READERS, lambda page: page.is_identifying)
        path = f"/agreements/{town.agreement}/suspension"
        asked = time.time()
        suspended = await town.shelter.post("governance", path, wait=15)
        assert suspended["status"] == "suspended"
        said = datetime.fromisoformat(suspended["suspended_at"]).timestamp()
        await _more(pages, 2 * READERS, lambda page: page.asked > said and page.status == httpx.codes.OK)
    identifying = [page for page in pages if page.is_identifying]
    under_way = [round(page.began - said, 2) for page in identifying if page.began > said]
    print(
        f"{len(pages)} pages, {len(identifying)} that tell who; of these began so many s after `suspended`: {under_way}"
    )
    assert [page for page in identifying if page.asked > said] == []
    assert all(late < LEASE_SECONDS for late in under_way), "what was asked for before, within its lease"
    assert [page for page in identifying if page.asked > asked - 10.0], (
        "the check finds nothing even where there is something"
    )


async def _wounded_under_load(
    stack: StackProcess, town: Providers, names: Sequence[str], number: signal.Signals
) -> None:
    """Send a signal to parts of the stack, one after another, while clients are referred; all are told in the end."""
    outreach, shelter = town.outreach, town.shelter
    clients = await _consenting(town)
    referred = asyncio.gather(*[_refer_whatever_happens(outreach, shelter, client) for client in clients])
    for name in names:
        await shelter.desk.wait(len(shelter.desk.received) + 1)
        await _restarted(stack, name, stack.kill(name, number))
        # Something to deliver after each wound, whatever of the first was already through.
        await _refer_whatever_happens(outreach, shelter, clients[0])
    ids = set(await referred)

    def all_told() -> bool:
        return ids <= {one.data.get("referral_id") for one in shelter.desk.received}

    await wait_until_async(all_told, what="every referral at the shelter", deadline=120)


async def _more(pages: list[Read], count: int, of_a_kind: Callable[[Read], bool]) -> None:
    def read() -> bool:
        return sum(map(of_a_kind, pages)) >= count

    await wait_until_async(read, what=f"{count} pages")


async def _revoked_amid_kills(stack: StackProcess, crowd: Crowd, receiver: SlowReceiver) -> list[Promise]:
    """Let clients revoke shortly before and after each kill, while all are referred, and return what receipts say."""
    async with crowd.referred():
        for name in ("webhooks", "consent", "kafka"):
            await crowd.more_came(crowd.chance.randint(16, 32))
            receiver.answer_all()
            await crowd.more_came(1)
            await _revoked_between_release_and_request(stack, crowd)
            await crowd.more_came(crowd.chance.randint(4, 12))
            pid = stack.kill(name)
            crowd.revoke_just_told(REVOKING)
            await _restarted(stack, name, pid)
        promises = await crowd.promises()
        await crowd.more_came(1)
    return promises


async def _revoked_between_release_and_request(stack: StackProcess, crowd: Crowd) -> None:
    """Hold the sender, with what was just released to it, until the log has the revocations; its lease goes on."""
    stack.kill("webhooks", signal.SIGSTOP)
    try:
        crowd.revoke_next(REVOKING)
        await crowd.recorded()
    finally:
        stack.kill("webhooks", signal.SIGCONT)


async def _restarted(stack: StackProcess, name: str, old_pid: int) -> None:
    await asyncio.to_thread(stack.wait_restarted, name, old_pid)
    await asyncio.to_thread(_wait_back, stack, name)


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
    made = await answered(outreach, "referrals", "/referrals", referral(shelter.id, client), 201)
    return str(made["id"])


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
