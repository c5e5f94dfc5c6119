"""What runs beside the routes: reads what was decided, sends it, settles it, and tells the log."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final

import psycopg
from pydantic import SecretStr
from sqlalchemy import make_url

from services.kit import logs
from services.kit.broker import Record
from services.kit.database import Database
from services.kit.ending import die_if_failed
from services.kit.outbox import OutboxRow
from services.webhooks import decision_rows, inbox_items, notice_rows, store
from services.webhooks.alarms import readable_notices
from services.webhooks.dispatch import Dispatcher, Lane, Lanes
from services.webhooks.guard import SystemLookup
from services.webhooks.outbound import opened
from services.webhooks.sender import Sender
from services.webhooks.told import told_by

DISCLOSURES: Final = "disclosures"
PATIENCE: Final = 0.05
"""Seconds that notices may be gathered for: a unit's changes come in bursts, and only the last counts."""
SWEEP_SECONDS: Final = 1.0
"""How late a retry may be, and how long a wake-up that got lost delays a delivery."""
# Attempts being prepared at once, and names being resolved at once, in each lane.
WORKING: Final = (16, 32)
UNTRIED: Final = (4, 16)
FAILING: Final = (1, 8)


Add = Callable[[psycopg.AsyncConnection, Sequence[Record], bytes], Awaitable[set[str]]]
"""Adds what records tell, under the key of webhook ids; returns the endpoints to which something became due."""


async def decided(connection: psycopg.AsyncConnection, records: Sequence[Record], id_key: bytes) -> set[str]:
    """Add what records of `disclosures` tell."""
    told = [each for record in records for each in told_by(record.partition, record.value)]
    return await decision_rows.add(connection, told, id_key)


async def noticed(connection: psycopg.AsyncConnection, records: Sequence[Record], id_key: bytes) -> set[str]:
    """Add what records of a topic of notices tell."""
    return await notice_rows.add(connection, readable_notices(records), id_key)


class Arrivals:
    """What a reader does with its records: it adds deliveries and then wakes their senders.

    In this very process, without a trip over the database: whoever reads a partition sends what it brings. What is not
    woken, since the process ended in between, the next sweep finds.
    """

    def __init__(self, add: Add, id_key: bytes) -> None:
        self._add = add
        self._id_key = id_key
        self._due: set[str] = set()
        self.wake: Callable[[str], None] = _nobody

    async def add(self, connection: psycopg.AsyncConnection, records: Sequence[Record]) -> None:
        """Add what the records tell."""
        self._due = await self._add(connection, records, self._id_key)

    def committed(self) -> None:
        """Wake the endpoints to which the last records made something due."""
        for endpoint_id in self._due:
            self.wake(endpoint_id)


def _nobody(endpoint_id: str) -> None:
    """Before the senders are there."""
    del endpoint_id


def as_it_is(row: OutboxRow) -> bytes:
    """Return an outbox row's value: deliveries are not signed, the topic's only writer is known."""
    return row.body


@asynccontextmanager
async def lanes(*, allow_loopback: bool) -> AsyncIterator[Lanes]:
    """Give the lanes; each has connections and name look-ups of its own."""
    async with AsyncExitStack() as running:

        async def lane(gate: int, lookups: int) -> Lane:
            lookup = SystemLookup(lookups)
            running.callback(lookup.close)
            outbound = await running.enter_async_context(opened(lookup, allow_loopback=allow_loopback))
            return Lane(asyncio.Semaphore(gate), outbound)

        yield Lanes(working=await lane(*WORKING), untried=await lane(*UNTRIED), failing=await lane(*FAILING))


@asynccontextmanager
async def sending(database: Database, sender: Sender, through: Lanes, *arrivals: Arrivals) -> AsyncIterator[None]:
    """Send what is due while the block runs: at once when told, otherwise with the next sweep."""
    async with Dispatcher(sender.attempt, through).running() as dispatcher:
        for each in arrivals:
            each.wake = dispatcher.wake
        tasks = [
            asyncio.create_task(part) for part in (_listen(database.url, dispatcher), _sweep(database, dispatcher))
        ]
        for task in tasks:
            task.add_done_callback(die_if_failed)
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(*tasks)


async def _listen(url: SecretStr, dispatcher: Dispatcher) -> None:
    """Wake endpoints as soon as a person's change that made something due to them has committed."""
    direct = make_url(url.get_secret_value()).set(drivername="postgresql").render_as_string(hide_password=False)
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(direct, autocommit=True) as connection:
                await connection.execute(f"LISTEN {store.CHANNEL}")
                async for notice in connection.notifies():
                    dispatcher.wake(notice.payload)
        except psycopg.OperationalError as error:
            logs.get().warning("deliveries are found by sweeps only", **logs.describe(error))
            await asyncio.sleep(SWEEP_SECONDS)


async def _sweep(database: Database, dispatcher: Dispatcher) -> None:
    """Find what is due: retries, of inbox items too, what a dead sender left, and what a lost wake-up passed by."""
    while True:
        try:
            async with database.transaction() as session:
                await store.take_back(session)
            async with database.transaction() as session:
                await inbox_items.bring_back(session)
            async with database.transaction() as session:
                await notice_rows.forget(session)
                due = await store.due_endpoints(session)
        except Database.away as error:
            logs.get().warning("deliveries wait for the database", **logs.describe(error))
            due = []
        for endpoint_id, is_failing in due:
            dispatcher.wake(endpoint_id, is_failing=is_failing)
        await asyncio.sleep(SWEEP_SECONDS)
