"""A consent entered in error: by its recorder alone, at once and for ever, with a revocation's receipt."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from policy.murmur2 import partition_of
from policy.state import PartitionState
from policy.step import Fold
from schemas.events import HeldRevocation
from schemas.records import ConsentEnteredInError, ConsentRestated
from services.kit.auth import Scope
from services.kit.broker import read_all
from tests.conftest import Databases
from tests.support.control_records import ANNEX, OUTREACH, SHELTER
from tests.support.log import PARTITIONS, ROOT_FINGERPRINT, decode_event
from tests.support.registry import Registry, founded
from tests.support.sealed import Sealed
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def registry(postgres: Databases) -> AsyncIterator[Registry]:
    async with founded(postgres) as found:
        yield found


async def in_error(registry: Registry, consent: str, by: str = OUTREACH, **body: Any) -> Any:
    return await registry.post(by, f"/consents/{consent}/entered-in-error", body, prefer="wait=10")


async def permitted(registry: Registry) -> tuple[str, str, Sealed]:
    """A client with a consent, and what was sealed under it."""
    client = await registry.client()
    return client, (await registry.permit(client))["id"], await registry.sealed(client)


async def folded(registry: Registry, client: str) -> tuple[HeldRevocation, ...]:
    """The revocations that the boundary knows of a client."""
    partition = partition_of(client.encode(), PARTITIONS)
    fold = Fold(PartitionState(partition=partition, root_fingerprint=ROOT_FINGERPRINT))
    async for run in read_all(registry.broker.bootstrap, "client-events", {partition: 0}):
        for record in run:
            fold.step(record.timestamp_ms, record.key, record.headers, record.value)
    held = fold.state.consents_of(client)
    assert not held.in_doubt
    return held.revocations


async def test_from_the_answer_on_no_key_is_given_out_and_the_reason_is_told(registry: Registry) -> None:
    client, consent, sealed = await permitted(registry)
    other = await registry.permit(client, categories=["health"])
    answer = await in_error(registry, consent)
    assert (answer.status_code, answer.json()["state"], answer.json()["scope"]) == (200, "effective", "consent")
    asked = sealed.asked(categories=["identity"])
    released = await registry.release(asked)
    assert (released["verdict"], released["keys"], released["reason"]) == ("withheld", [], "entered-in-error")
    assert (await registry.release(sealed.asked()))["categories"] == ["health", "need"]
    shown = [(await registry.get(OUTREACH, f"/consents/{one}")).json()["status"] for one in (consent, other["id"])]
    assert shown == ["entered-in-error", "active"]
    said = [decode_event(one.value) for one in await registry.records(client) if one.value]
    (error,) = [one for one in said if isinstance(one, ConsentEnteredInError)]
    assert (error.data.revocation.consent_id, error.data.revocation.requested_by) == (consent, "discloser")
    assert error.data.revocation.reason_code == "recorded-in-error"
    assert [one.in_error for one in await folded(registry, client)] == [True]


async def test_it_waits_for_what_was_given_out_as_a_revocation_does(registry: Registry) -> None:
    client, consent, sealed = await permitted(registry)
    released = await registry.release(sealed.asked())
    body = {"requested_by": "client", "reason_code": "other"}
    asked = await registry.post(OUTREACH, f"/consents/{consent}/entered-in-error", body)
    watch = asked.headers["Location"]
    assert (asked.status_code, watch.partition("?")[0]) == (202, f"/consents/{consent}/revocation")
    await registry.receipt(client, state="accepted")
    await registry.settle(released["release_id"], "started")
    assert (await registry.get(OUTREACH, watch)).json()["state"] == "effective"


async def test_who_did_not_record_it_finds_nothing_and_a_refusal_is_never_in_error(registry: Registry) -> None:
    client, consent, sealed = await permitted(registry)
    await registry.release(sealed.asked())  # the shelter knows the client now, and may narrow
    for organization in (SHELTER, ANNEX):
        there, nowhere = [await in_error(registry, one, organization) for one in (consent, "0" * 32)]
        assert (there.status_code, there.content) == (404, nowhere.content)
    refusal = await registry.narrow(client, "refuse", categories=["health"])
    refused = await in_error(registry, refusal["id"])
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/not-a-grant")
    assert (await registry.get(OUTREACH, f"/consents/{consent}")).json()["status"] == "active"


async def test_it_takes_the_right_to_revoke_and_is_done_once_with_its_key(registry: Registry) -> None:
    client, consent, _ = await permitted(registry)
    path = f"/consents/{consent}/entered-in-error"
    scopes = [scope for scope in Scope if scope is not Scope.CONSENTS_REVOKE]
    assert (await registry.post(OUTREACH, path, {}, scopes=scopes)).status_code == 403
    answers = [await registry.post(OUTREACH, path, {}, key="one-error") for _ in range(2)]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    await registry.receipt(client, state="effective")
    assert len([one for one in await registry.records(client) if b"entered_in_error" in (one.value or b"")]) == 1


async def test_a_restatement_keeps_it(registry: Registry) -> None:
    client, consent, sealed = await permitted(registry)
    await in_error(registry, consent)
    partition = partition_of(client.encode(), PARTITIONS)
    await registry.producer.send_and_wait("client-events", b"rubbish", client.encode(), partition)

    async def restated() -> bool:
        said = [one.value for one in await registry.records(client) if one.value not in (None, b"rubbish")]
        return any(isinstance(decode_event(value), ConsentRestated) for value in said if value)

    await wait_until_async(restated, what="the client to be restated")
    assert [one.in_error for one in await folded(registry, client)] == [True]

    async def said_again() -> bool:
        answer = await registry.webhooks.post("/releases", sealed.asked(categories=["identity"]))
        return answer.status_code == 200 and answer.json()["reason"] == "entered-in-error"

    await wait_until_async(said_again, what="the custodian to say why")
    assert (await registry.get(OUTREACH, f"/consents/{consent}")).json()["status"] == "entered-in-error"
