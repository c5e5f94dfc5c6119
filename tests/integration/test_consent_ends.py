"""A consent whose time is over: said on the log once, by whatever process, and not if it had ended otherwise."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
import pytest_asyncio

from policy.murmur2 import partition_of
from policy.state import PartitionState
from policy.step import Fold
from schemas.notices import ConsentExpiring, EndingConsent
from schemas.records import ConsentExpired
from services.consent.clients import read_consents
from services.kit.broker import read_all
from tests.conftest import Databases
from tests.support.control_records import OUTREACH, SHELTER
from tests.support.log import PARTITIONS, ROOT_FINGERPRINT, decode_event
from tests.support.registry import Registry, founded
from tests.support.waiting import wait_until_async

DAY = 86_400.0
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
    assert await notices(registry, consent["id"]) == []


async def notices(registry: Registry, consent: str) -> list[EndingConsent]:
    runs = read_all(registry.broker.bootstrap, "consent-notices", {0: 0})
    said = [msgspec.json.decode(one.value or b"", type=ConsentExpiring) async for run in runs for one in run]
    return [event.data for event in said if event.data.consent_id == consent]


async def noticed(registry: Registry, consent: str, count: int) -> list[EndingConsent]:
    async def enough() -> list[EndingConsent] | None:
        found = await notices(registry, consent)
        return found if len(found) >= count else None

    return await wait_until_async(enough, what=f"{count} notices")


async def next_due(registry: Registry, consent: str, before: timedelta) -> None:
    """Wait until the next thing to say is so long before the consent's end."""

    async def moved() -> bool:
        with registry.database() as connection:
            row = connection.execute("SELECT due_at FROM consents WHERE id = %s", [consent]).fetchone()
        ends = (await registry.get(OUTREACH, f"/consents/{consent}")).json()["expires_at"]
        return row == (datetime.fromisoformat(ends) - before,)

    await wait_until_async(moved, what=f"the next to be due {before} before the end")


async def test_its_recorder_is_told_fourteen_days_before_and_three(registry: Registry) -> None:
    """Once each, though two processes look; the dates are moved, and days that have begun count."""
    client = await registry.client()
    consent = await registry.permit(client, expires_at=within(13.5 * DAY))
    await next_due(registry, consent["id"], timedelta(days=3))
    async with replace(registry).serving():
        await due(registry, consent["id"], timedelta())
        [first] = await noticed(registry, consent["id"], 1)
        assert (first.days_left, first.recorder, first.to) == (14, OUTREACH, (SHELTER,))
        assert (first.client_id, first.expires_at) == (client, consent["expires_at"])
        await next_due(registry, consent["id"], timedelta(days=3))
        short = await registry.permit(client, expires_at=within(2.2 * DAY))
        await next_due(registry, short["id"], timedelta())
        await due(registry, short["id"], timedelta())
        assert [one.days_left for one in await noticed(registry, short["id"], 1)] == [3]
        await next_due(registry, short["id"], timedelta())
    assert [len(await notices(registry, one["id"])) for one in (consent, short)] == [1, 1]
    assert await expiries(registry, client) == []


async def test_of_what_is_revoked_nobody_is_told_that_it_ends(registry: Registry) -> None:
    client = await registry.client()
    consent = await registry.permit(client, expires_at=within(10 * DAY))
    await registry.revoke(client)
    await due(registry, consent["id"], timedelta())
    await nothing_due(registry, client)
    assert await notices(registry, consent["id"]) == []


async def test_a_refusal_has_no_end(registry: Registry) -> None:
    client = await registry.client()
    await registry.narrow(client, "refuse")
    with registry.database() as connection:
        row = connection.execute("SELECT due_at FROM consents WHERE client_id = %s", [client]).fetchone()
    assert row == (None,)
