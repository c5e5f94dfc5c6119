"""Releases and narrowings of one client never pass each other: each is held open in the midst of its transaction."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import pytest
import pytest_asyncio

from tests.conftest import Databases
from tests.support.control_records import OUTREACH, SHELTER
from tests.support.log import decode_event
from tests.support.registry import Registry, founded
from tests.support.sealed import Sealed

pytestmark = pytest.mark.asyncio(loop_scope="module")

WRITERS = 50


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def registry(postgres: Databases) -> AsyncIterator[Registry]:
    async with founded(postgres) as found:
        yield found


async def permitted(registry: Registry) -> tuple[str, Sealed]:
    """A client with a consent that the log has: the relay is done, and waits for no lock of a test's."""
    client = await registry.client()
    made = await registry.post(OUTREACH, "/consents", registry.consent(client), prefer="wait=20")
    assert made.json()["state"] == "accepted"
    return client, await registry.sealed(client)


@contextmanager
def barrier(registry: Registry, statement: LiteralString, *values: str) -> Iterator[None]:
    """Hold a lock of the test's own while the block runs."""
    with registry.database() as connection, connection.transaction():
        connection.execute(statement, values)
        yield


async def test_a_release_before_its_commit_holds_a_revocation_back_which_then_counts_it(registry: Registry) -> None:
    """The barrier stands between the release's look at the consents and its commit."""
    client, sealed = await permitted(registry)
    with barrier(registry, "LOCK TABLE releases IN SHARE MODE"):  # a release may look, and cannot record
        release = asyncio.create_task(registry.release(sealed.asked()))
        await registry.waiting(1)
        revocation = asyncio.create_task(registry.revoke(client))
        await registry.waiting(2)
        assert not release.done(), "no key leaves before the commit"
        assert not revocation.done(), "the revocation waits for the client's row"
    released, receipt = await release, await revocation
    assert released["verdict"] == "permit"
    assert receipt["state"] == "recorded"
    accepted = await registry.receipt(client, state="accepted")
    assert accepted["effective_at"] is None, "it was recorded after that release and counts it"
    await registry.settle(released["release_id"], "not_sent")
    assert (await registry.receipt(client, state="effective"))["in_doubt"] == 0
    again = await registry.release(sealed.asked(event_type="referral.updated"))
    assert (again["verdict"], again["keys"]) == ("withheld", [])


@pytest.mark.parametrize("narrowing", ["revoke", "refuse", "exclude"])
async def test_a_narrowing_before_its_commit_holds_a_release_back_which_then_obeys_it(
    registry: Registry, narrowing: str
) -> None:
    client, sealed = await permitted(registry)
    with barrier(registry, "LOCK TABLE outbox IN SHARE MODE"):  # a narrowing has the row, and cannot put its record
        said: Any = registry.revoke(client) if narrowing == "revoke" else registry.narrow(client, narrowing)
        narrowed = asyncio.create_task(said)
        await registry.waiting(1)
        release = asyncio.create_task(registry.release(sealed.asked()))
        await registry.waiting(2)
        assert not narrowed.done()
        assert not release.done(), "the release waits for the client's row"
    await narrowed
    released = await release
    assert released["verdict"] == ("withheld" if narrowing == "exclude" else "deidentified")
    assert {key["category"] for key in released["keys"]} <= {"need"}
    assert released["reason"] == {"revoke": "revoked", "refuse": "refused", "exclude": "excluded"}[narrowing]


async def test_releases_do_not_wait_for_each_other(registry: Registry) -> None:
    client, sealed = await permitted(registry)
    with barrier(registry, "SELECT FROM clients WHERE id = %s FOR SHARE", client):
        assert (await registry.release(sealed.asked()))["verdict"] == "permit"


async def test_a_waiting_narrowings_time_is_when_it_got_the_row(registry: Registry) -> None:
    """Otherwise a receipt would say `recorded` of a moment at which keys were still given out."""
    client, sealed = await permitted(registry)
    with barrier(registry, "SELECT FROM clients WHERE id = %s FOR SHARE", client):
        revocation = asyncio.create_task(registry.revoke(client))
        await registry.waiting(1)
        released = await registry.release(sealed.asked())
    await revocation
    with registry.database() as connection:
        row = connection.execute(
            "SELECT released_at < recorded_at FROM releases JOIN revocations USING (client_id) WHERE releases.id = %s",
            [released["release_id"]],
        ).fetchone()
    assert row == (True,)
    await registry.settle(released["release_id"], "started")


async def test_after_recorded_no_key_is_given_out(registry: Registry) -> None:
    """Releases are asked for without a pause; what was given out stands on the right side of the revocation."""
    client, sealed = await permitted(registry)
    recorded = asyncio.Event()
    asked_after: list[dict[str, Any]] = []

    async def asking() -> None:
        while len(asked_after) < 20:
            after = recorded.is_set()
            released = await registry.release(sealed.asked(event_type="referral.updated"))
            if after:
                asked_after.append(released)
            elif released["release_id"]:
                await registry.settle(released["release_id"], "delivered")

    async def revoking() -> None:
        receipt = await registry.revoke(client)
        recorded.set()
        assert receipt["recorded_at"]

    await asyncio.gather(*(asking() for _ in range(4)), revoking())
    assert {released["verdict"] for released in asked_after} == {"withheld"}
    with registry.database() as connection:
        orders = connection.execute(
            "SELECT count(*) FILTER (WHERE verdict = 'permit' AND client_order >= r.order),"
            " count(*) FILTER (WHERE verdict = 'withheld' AND client_order < r.order)"
            " FROM releases JOIN revocations r USING (client_id) WHERE client_id = %s",
            [client],
        ).fetchone()
    assert orders == (0, 0)
    assert (await registry.receipt(client, state="effective"))["in_doubt"] == 0


async def test_orders_increase_under_many_writers(registry: Registry) -> None:
    client = await registry.client()

    async def write(number: int) -> None:
        if number % 5 == 4:
            await registry.revoke(client, scope="recipient", recipient=SHELTER)
        else:
            await registry.permit(client, categories=["identity"])

    await asyncio.gather(*(write(number) for number in range(WRITERS)))
    await registry.receipt(client, state="effective")
    with registry.database() as connection:
        written = connection.execute(
            'SELECT "order" FROM (SELECT "order", client_id FROM consents UNION ALL SELECT "order", client_id'
            ' FROM revocations) written WHERE client_id = %s ORDER BY "order"',
            [client],
        ).fetchall()
        last = connection.execute("SELECT last_order FROM clients WHERE id = %s", [client]).fetchone()
    orders = [order for (order,) in written]
    assert len(set(orders)) == WRITERS
    assert last == (orders[-1],)
    assert await on_the_log(registry, client) == orders, "they stand on the log in their order"


async def test_an_order_is_above_the_last_even_if_the_clock_is_not(registry: Registry) -> None:
    client = await registry.client()
    far = 2**52
    with registry.database() as connection:
        connection.execute("UPDATE clients SET last_order = %s WHERE id = %s", [far, client])
    await registry.permit(client)
    await registry.permit(client)
    assert (await registry.get(OUTREACH, "/consents", client_id=client)).json()["next"] is None
    await registry.revoke(client)
    await registry.receipt(client, state="effective")
    assert await on_the_log(registry, client) == [far + 1, far + 2, far + 3]


async def on_the_log(registry: Registry, client: str) -> list[int]:
    events = [decode_event(record.value) for record in await registry.records(client) if record.value]
    return [event.data.order for event in events if hasattr(event.data, "order")]
