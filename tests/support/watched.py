"""A client of a running consent service: what the log has of the client, what the tables have, and what is planted."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from policy.murmur2 import partition_of
from policy.parse import Refused, parse
from policy.state import PartitionState
from policy.step import Fold
from schemas.events import ClientConsents, HeldConsent, HeldRevocation
from schemas.records import ConsentRestated
from services.consent.clients import read_consents
from services.kit.broker import read_all
from tests.support.damage import Bad
from tests.support.log import PARTITIONS, ROOT_FINGERPRINT
from tests.support.registry import Registry
from tests.support.waiting import wait_until_async

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
