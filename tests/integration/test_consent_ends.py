"""A consent whose time is over: said on the log once, by whatever process, and not if it had ended otherwise."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from policy.murmur2 import partition_of
from policy.state import PartitionState
from policy.step import Fold
from schemas.records import ConsentExpired
from services.consent.clients import read_consents
from services.kit.broker import read_all
from tests.conftest import Databases
from tests.support.control_records import OUTREACH
from tests.support.log import PARTITIONS, ROOT_FINGERPRINT, decode_event
from tests.support.registry import Registry, founded
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def registry(postgres: Databases) -> AsyncIterator[Registry]:
    async with founded(postgres) as found:
        yield found


def within(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


async def expiries(registry: Registry, client: str) -> list[ConsentExpired]:
    said = [decode_event(one.value) for one in await registry.records(client) if one.value]
    return [event for event in said if isinstance(event, ConsentExpired)]


async def due(registry: Registry, consent: str, ahead: timedelta) -> None:
    """Move what a row says; in a thread, since the service, which may hold the row, runs in this very loop."""

    def move() -> None:
        with registry.database() as connection:
            connection.execute("UPDATE consents SET due_at = now() + %s WHERE id = %s", [ahead, consent])

    await asyncio.to_thread(move)


async def nothing_due(registry: Registry, *clients: str) -> None:
    """Wait until nothing is to be said of these clients any more, and all that was said stands on the log."""

    async def done() -> bool:
        with registry.database() as connection:
            left = connection.execute(
                "SELECT FROM consents WHERE client_id = ANY(%s) AND due_at IS NOT NULL"
                " UNION ALL SELECT FROM outbox WHERE aggregate = ANY(%s)",
                [list(clients), list(clients)],
            )
            return left.fetchone() is None

    await wait_until_async(done, what="all ends to be said")


async def test_it_is_said_once_and_changes_nothing_that_may_cross(registry: Registry) -> None:
    client = await registry.client()
    consent = await registry.permit(client, expires_at=within(0.3), actor={"id": "staff-7", "role": "navigator"})
    await nothing_due(registry, client)
    [event] = await expiries(registry, client)
    assert (event.data.consent.id, event.data.publisher.organization) == (consent["id"], OUTREACH)
    assert event.data.consent.expires_at == datetime.fromisoformat(consent["expires_at"])
    partition = partition_of(client.encode(), PARTITIONS)
    fold = Fold(PartitionState(partition=partition, root_fingerprint=ROOT_FINGERPRINT))
    async for run in read_all(registry.broker.bootstrap, "client-events", {partition: 0}):
        for record in run:
            answer = fold.step(record.timestamp_ms, record.key, record.headers, record.value)
            assert b'"result":"applied"' in answer
    held = fold.state.consents_of(client)
    assert [grant.consent.id for grant in held.grants] == [consent["id"]]
    assert (held.revocations, held.mark) == ((), event.data.order)
    with registry.database() as connection:
        kept = connection.execute("SELECT consents FROM clients WHERE id = %s", [client]).fetchone()
    assert kept is not None
    assert read_consents(kept[0]) == held, "our tables and the log say the same"


async def test_what_ended_otherwise_before_has_no_end_in_time(registry: Registry) -> None:
    revoked, in_error = await registry.client(), await registry.client()
    await registry.permit(revoked, expires_at=within(1.5))
    await registry.revoke(revoked)
    mistaken = await registry.permit(in_error, expires_at=within(1.5))
    await registry.post(OUTREACH, f"/consents/{mistaken['id']}/entered-in-error", {})
    await nothing_due(registry, revoked, in_error)
    assert await expiries(registry, revoked) == await expiries(registry, in_error) == []


async def test_by_several_processes_each_end_is_said_once(registry: Registry) -> None:
    clients = [await registry.client() for _ in range(12)]
    async with replace(registry).serving():  # another beside the one that runs
        for client in clients:
            await registry.permit(client, expires_at=within(1.5))
        await nothing_due(registry, *clients)
    assert [len(await expiries(registry, client)) for client in clients] == [1] * 12


async def test_a_clock_that_ran_ahead_says_nothing_too_early(registry: Registry) -> None:
    """What is due too early by the row's word is looked at again by the consent's own."""
    client = await registry.client()
    consent = await registry.permit(client)
    await due(registry, consent["id"], timedelta(hours=-1))

    async def put_right() -> bool:
        with registry.database() as connection:
            row = connection.execute("SELECT due_at > now() FROM consents WHERE id = %s", [consent["id"]]).fetchone()
        return row == (True,)

    await wait_until_async(put_right, what="the row to be put right")
    assert await expiries(registry, client) == []


async def test_a_refusal_has_no_end(registry: Registry) -> None:
    client = await registry.client()
    await registry.narrow(client, "refuse")
    with registry.database() as connection:
        row = connection.execute("SELECT due_at FROM consents WHERE client_id = %s", [client]).fetchone()
    assert row == (None,)
