"""A damaged or forged record leaves a client in doubt; consent says from its tables what may cross of the client."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
import pytest_asyncio
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from policy import canonical
from policy.murmur2 import partition_of
from policy.parse import TYPES
from schemas.records import ConsentRestated, ConsentRevoked
from services.consent import restating
from services.consent.lost import with_what_narrows
from services.consent.restating import WHYS, Restating
from services.kit.database import Database
from services.kit.keys import random_id
from services.kit.lasting import Lasting
from tests.conftest import Databases
from tests.support.damage import DAMAGES, Bad, bit_turned, truncated
from tests.support.log import PARTITIONS
from tests.support.registry import Registry, founded
from tests.support.waiting import wait_until_async
from tests.support.watched import Watched, narrowings_of

pytestmark = pytest.mark.asyncio(loop_scope="module")
NO_TEXT = "\0 no text for PostgreSQL"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def registry(postgres: Databases) -> AsyncIterator[Registry]:
    async with founded(postgres) as found:
        yield found


async def consenting(registry: Registry) -> tuple[Watched, bytes]:
    """A client who consented, and the record that says so."""
    client = Watched(registry, await registry.client())
    await registry.permit(client.id)
    return client, await client.said(TYPES["consent.granted"])


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
async def test_whatever_left_it_a_client_is_let_out_of_doubt(
    registry: Registry, damage: Callable[[str, bytes], Bad]
) -> None:
    client, grant = await consenting(registry)
    before = client.by_the_tables()
    with client.kept_as_it_is():
        await client.plant(damage(client.id, grant))
        assert (await client.by_the_log()).in_doubt
        assert await client.values(ConsentRestated) == []
    after = await client.restated()
    assert (after.grants, after.in_doubt) == (before.grants, False)
    assert after.mark > before.mark


async def test_what_was_revoked_meanwhile_or_whose_revocation_was_damaged_stays_revoked(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restating, "AT_MOST_EVERY", timedelta(0))
    client, grant = await consenting(registry)
    with client.kept_as_it_is():
        revoking = asyncio.create_task(registry.revoke(client.id))
        await registry.waiting(1)
        await client.plant(truncated(client.id, grant))
        assert (await client.by_the_log()).in_doubt
        await registry.waiting(2)
    await revoking
    await client.plant(bit_turned(client.id, await client.said(ConsentRevoked)))
    after = await client.restated()
    assert len(after.revocations) == 1
    *_, restated = await client.values(ConsentRestated)
    await registry.producer.send_and_wait("client-events", restated, client.id.encode(), client.partition)
    await registry.producer.send_and_wait("client-events", grant, client.id.encode(), client.partition)
    assert await client.by_the_log() == after, "copies of what was sent before change nothing"


async def test_however_many_notice_it_and_however_often_it_is_restated_once_in_a_while(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, grant = await consenting(registry)
    async with _others(registry, 3) as others:
        with client.kept_as_it_is():
            for _ in range(3):
                await client.plant(truncated(client.id, grant))
            await wait_until_async(lambda: client.id in registry.view.clients_in_doubt(), what="the doubt")
            looking = asyncio.gather(*(other.look() for other in others))
            await registry.waiting(4)
        await looking
        await client.restated()
        await client.plant(truncated(client.id, grant))
        await wait_until_async(lambda: client.id in registry.view.clients_in_doubt(), what="the doubt to be noticed")
        await asyncio.gather(*(other.look() for other in others))
        assert len(await client.values(ConsentRestated)) == 1
    monkeypatch.setattr(restating, "AT_MOST_EVERY", timedelta(0))
    await client.restated()
    assert len(await client.values(ConsentRestated)) == 2


async def test_what_the_tables_do_not_have_is_not_restated_but_paged(registry: Registry) -> None:
    """A client that nobody knows; one of whom the log has more than our tables, as after a restored backup."""
    client, grant = await consenting(registry)
    strangers = [Bad(next(_ids_in(client.partition)), b"{}"), Bad(NO_TEXT, b"{}", _partition(NO_TEXT))]
    with registry.database() as connection:
        connection.execute("UPDATE clients SET last_order = last_order - 1 WHERE id = %s", [client.id])
    known = _count("consent", "unknown-client") or 0  # of the tests before
    async with _others(registry, 1, paged_after=0) as [other]:
        for bad in (truncated(client.id, grant), *strangers):
            await client.plant(bad)
        await wait_until_async(
            lambda: _count("consent", "unknown-client") == known + 2, what="the strangers to be counted"
        )
        await wait_until_async(lambda: client.id in registry.view.clients_in_doubt(), what="the doubt")
        with capture_logs() as lines:
            for _ in range(2):
                await other.look()
    assert await client.values(ConsentRestated) == []
    assert [line["why"] for line in lines if line["why"] != "unknown-client"] == ["behind-the-log"]
    in_doubt = {client.id, *(bad.key for bad in strangers)}
    assert not [key for key in in_doubt if key in str(lines)]
    assert [_count("other", why) for why in WHYS] == [0, 0, 1, 0]
    assert not {bad.key for bad in strangers} & set(registry.view.clients_in_doubt()), "nobody keeps room for them"
    answer = await wait_until_async(lambda: _has(registry, known + 2), what="consent's own count")
    assert client.id not in answer
    with registry.database() as connection:
        connection.execute("UPDATE clients SET last_order = last_order + 1 WHERE id = %s", [client.id])
    await client.restated()


@pytest.mark.parametrize("narrowing", ["revoke", "refuse", "exclude"])
async def test_what_was_narrowed_and_lost_stays_so_though_more_was_said_since(
    registry: Registry, narrowing: str
) -> None:
    """A database of before it is restored, and what is said next has an order above it: the highest tells nothing."""
    client, grant = await consenting(registry)
    before = client.row()
    said = await (registry.revoke(client.id) if narrowing == "revoke" else registry.narrow(client.id, narrowing))
    lost = await client.narrowings(1)
    client.put_back(before, said["id"])
    await registry.narrow(client.id, "refuse", categories=["household"])
    await client.narrowings(2)
    await client.plant(truncated(client.id, grant))
    await wait_until_async(lambda: _count("consent", "behind-the-log") == 1, what="it to be counted")
    assert await client.values(ConsentRestated) == []
    log, (last_order, _) = await client.by_the_log(), client.row()
    client.put_back((last_order, canonical.encode(with_what_narrows(client.by_the_tables(), log))))
    after = await client.restated()
    assert set(lost) < set(narrowings_of(after))
    assert len(after.grants) == 1, "and nothing but that is undone"


async def test_what_the_log_would_not_take_is_not_kept_for_it(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would park the client's row of the outbox, and with it whatever the client says next."""
    client, grant = await consenting(registry)
    monkeypatch.setattr(restating, "ROOM_FOR_SIGNING", 1 << 20)
    await client.plant(truncated(client.id, grant))
    await wait_until_async(lambda: _count("consent", "too-large") == 1, what="it to be counted")
    assert (await registry.revoke(client.id))["accepted_at"] is not None or await client.said(ConsentRevoked)
    monkeypatch.undo()
    assert len((await client.restated()).revocations) == 1


async def test_who_holds_a_clients_row_keeps_nobody_else_waiting(registry: Registry) -> None:
    both = [await consenting(registry) for _ in range(2)]
    async with _others(registry, 1) as [other]:
        with both[0][0].kept_as_it_is(), both[1][0].kept_as_it_is():
            for client, grant in both:
                await client.plant(truncated(client.id, grant))
            held = {client.id for client, _ in both}
            await wait_until_async(lambda: held <= set(registry.view.clients_in_doubt()), what="the doubts")
            await other.look()
        assert held <= set(other._tried)
    for client, _ in both:
        await client.restated()


async def test_whoever_is_made_up_takes_no_more_room_than_there_is(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _ = await consenting(registry)
    monkeypatch.setattr(restating, "AT_MOST_UNKNOWN", 10)
    forged = [key for key, _ in zip(_ids_in(client.partition), range(50), strict=False)]
    for key in forged:
        await client.plant(Bad(key, b"{}"))
    await wait_until_async(lambda: _count("consent", "unknown-client") == 10, what="them to be counted")
    await wait_until_async(lambda: not set(forged) & set(registry.view.clients_in_doubt()), what="them to be forgotten")
    assert not set(forged) & set(registry.view._partitions[client.partition]._fold.state.consents)
    assert _count("consent", "unknown-client") == 10


async def test_a_doubt_from_before_the_start_is_found(registry: Registry) -> None:
    client, grant = await consenting(registry)
    with client.kept_as_it_is():
        await client.plant(truncated(client.id, grant))
        async with _others(registry, 1) as [other]:
            await wait_until_async(
                lambda: client.id in registry.view.clients_in_doubt(), what="the doubt to be noticed"
            )
            await other.look()  # in vain
    async with registry.serving():
        await client.restated()


@asynccontextmanager
async def _others(registry: Registry, count: int, paged_after: float = 30) -> AsyncIterator[list[Restating]]:
    """Further processes of consent, as it were: of one view, to be looked with."""
    database = Database(registry.settings.database_url)
    yield [Restating(database, registry.view, Lasting("other", WHYS, paged_after)) for _ in range(count)]
    await database.close()


def _count(service: str, why: str) -> float | None:
    return REGISTRY.get_sample_value("threshold_in_doubt", {"service": service, "why": why})


async def _has(registry: Registry, count: float) -> str | None:
    answer = (await registry.http.get("/metrics")).text
    return answer if f'threshold_in_doubt{{service="consent",why="unknown-client"}} {count}' in answer else None


def _partition(key: str) -> int:
    return partition_of(key.encode(), PARTITIONS)


def _ids_in(partition: int) -> Iterator[str]:
    return (one for one in iter(random_id, "") if _partition(one) == partition)
