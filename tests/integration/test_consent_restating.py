"""A damaged or forged record leaves a client in doubt; consent says from its tables what may cross of the client."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from policy import canonical
from policy.murmur2 import partition_of
from policy.parse import TYPES, Refused, parse
from policy.state import PartitionState
from policy.step import Fold
from schemas.events import ClientConsents, HeldConsent, HeldRevocation
from schemas.records import ConsentRestated, ConsentRevoked
from services.consent import restating
from services.consent.clients import read_consents
from services.consent.lost import with_what_narrows
from services.consent.restating import WHYS, Restating
from services.kit.broker import read_all
from services.kit.database import Database
from services.kit.keys import random_id
from services.kit.lasting import Lasting
from tests.conftest import Databases
from tests.support.damage import DAMAGES, Bad, bit_turned, truncated
from tests.support.log import PARTITIONS, ROOT_FINGERPRINT
from tests.support.registry import Registry, founded
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def registry(postgres: Databases) -> AsyncIterator[Registry]:
    async with founded(postgres) as found:
        yield found


Narrowings = tuple[HeldConsent | HeldRevocation, ...]


def narrowings_of(held: ClientConsents) -> Narrowings:
    return (*held.refusals, *held.exclusions, *held.revocations)


class Watched:
    """One client of a registry, what the log holds of it, and what may cross of it by that."""

    def __init__(self, registry: Registry, client: str) -> None:
        self.registry = registry
        self.id = client
        self.partition = partition_of(client.encode(), PARTITIONS)

    async def values(self, kind: type[Any]) -> list[bytes]:
        """The client's records of a kind, forged ones too."""
        found = [record.value or b"" for record in await self.registry.records(self.id)]
        return [value for value in found if _is_a(kind, value)]

    async def said(self, kind: type[Any]) -> bytes:
        """Wait for the client's first record of a kind."""

        async def there() -> bytes | None:
            return next(iter(await self.values(kind)), None)

        return await wait_until_async(there, what="the record")

    async def plant(self, bad: Bad) -> None:
        partition = self.partition if bad.partition is None else bad.partition
        await self.registry.producer.send_and_wait("client-events", bad.value, bad.key.encode(), partition)

    async def by_the_log(self) -> ClientConsents:
        """What the boundary knows at the log's end."""
        fold = Fold(PartitionState(partition=self.partition, root_fingerprint=ROOT_FINGERPRINT))
        async for run in read_all(self.registry.broker.bootstrap, "client-events", {self.partition: 0}):
            for one in run:
                fold.step(one.timestamp_ms, one.key, one.headers, one.value)
        return fold.state.consents_of(self.id)

    def by_the_tables(self) -> ClientConsents:
        with self.registry.database() as connection:
            row = connection.execute("SELECT consents FROM clients WHERE id = %s", [self.id]).fetchone()
        assert row
        return read_consents(row[0])

    def row(self) -> tuple[Any, ...]:
        """What a backup would have of the client."""
        with self.registry.database() as connection:
            found = connection.execute("SELECT last_order, consents FROM clients WHERE id = %s", [self.id]).fetchone()
        assert found
        return found

    def put_back(self, row: tuple[Any, ...], lost: str = "") -> None:
        """Restore it, without the row of what was said since."""
        with self.registry.database() as connection, connection.transaction():
            connection.execute("UPDATE clients SET last_order = %s, consents = %s WHERE id = %s", [*row, self.id])
            connection.execute("DELETE FROM consents WHERE id = %s", [lost])
            connection.execute("DELETE FROM revocations WHERE id = %s", [lost])

    async def narrowings(self, count: int) -> Narrowings:
        """Wait until the log has so many things that narrow."""

        async def there() -> Narrowings | None:
            found = narrowings_of(await self.by_the_log())
            return found if len(found) == count else None

        return await wait_until_async(there, what=f"{count} narrowings")

    @contextmanager
    def kept_as_it_is(self) -> Iterator[None]:
        """Lock the client's row, so that nothing is said of the client while the block runs."""
        with self.registry.database() as connection, connection.transaction():
            connection.execute("SELECT FROM clients WHERE id = %s FOR UPDATE", [self.id])
            yield

    async def restated(self) -> ClientConsents:
        """Wait until the log says of the client what the tables say, with nobody in doubt."""

        async def same() -> ClientConsents | None:
            log = await self.by_the_log()
            return log if log == self.by_the_tables() and await self.values(ConsentRestated) else None

        return await wait_until_async(same, what="the client to be restated")


def _is_a(kind: type[Any], value: bytes) -> bool:
    try:
        return isinstance(parse(value), kind)
    except Refused:
        return False


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
    strangers = [Bad(next(_ids_in(client.partition)), b"{}"), Bad("\0rubbish", b"{}", _partition("\0rubbish"))]
    with registry.database() as connection:
        connection.execute("UPDATE clients SET last_order = last_order - 1 WHERE id = %s", [client.id])
    async with _others(registry, 1, paged_after=0) as [other]:
        for bad in (truncated(client.id, grant), *strangers):
            await client.plant(bad)
        in_doubt = {client.id, *(bad.key for bad in strangers)}
        await wait_until_async(lambda: in_doubt <= set(registry.view.clients_in_doubt()), what="the doubts")
        with capture_logs() as lines:
            for _ in range(2):
                await other.look()
    assert await client.values(ConsentRestated) == []
    assert Counter(line["why"] for line in lines) == {"behind-the-log": 1, "unknown-client": 2}
    assert not [key for key in in_doubt if key in str(lines)]
    assert [_count("other", why) for why in WHYS] == [0, 2, 1, 0]
    answer = await wait_until_async(lambda: _has(registry), what="consent's own count")
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


async def _has(registry: Registry) -> str | None:
    answer = (await registry.http.get("/metrics")).text
    return answer if 'threshold_in_doubt{service="consent",why="unknown-client"} 2.0' in answer else None


def _partition(key: str) -> int:
    return partition_of(key.encode(), PARTITIONS)


def _ids_in(partition: int) -> Iterator[str]:
    return (one for one in iter(random_id, "") if _partition(one) == partition)
