"""Lets clients out of doubt: what the tables say of one goes to the log whole, as `consent.restated`."""

import asyncio
import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import islice
from typing import Final, Literal

import psycopg
from msgspec.structs import replace
from psycopg.errors import LockNotAvailable

from policy import canonical
from schemas.events import ClientConsents, ConsentRestatedData
from schemas.records import ConsentRestated
from services.consent.clients import read_consents
from services.consent.lost import is_behind
from services.consent.model import SOURCE, UNSIGNED, microseconds, rfc3339
from services.consent.organizations import CONFIRMED_WITHIN
from services.consent.store import TOPIC
from services.kit import logs, outbox, topics
from services.kit.control import ControlView
from services.kit.database import Database
from services.kit.keys import random_id
from services.kit.lasting import Lasting
from services.kit.signing import ROOM_FOR_SIGNING

LOOK_EVERY: Final = 0.1  # seconds
AT_ONCE: Final = 100  # clients between two looks
TRY_AGAIN_AFTER: Final = 2.0  # seconds
AT_MOST_UNKNOWN: Final = 1000  # of whom one is told that they are no clients; further ones are forgotten at once
AT_MOST_EVERY: Final = timedelta(seconds=10)
"""For one client, by all processes: whoever writes rubbish to the log makes no flood of ours."""

NUL: Final = "\0"

Why = Literal["restating", "unknown-client", "behind-the-log", "too-large"]
WHYS: Final[tuple[Why, ...]] = ("restating", "unknown-client", "behind-the-log", "too-large")

_PATIENCE: Final = "SET LOCAL lock_timeout = '1s'"
# What was put meanwhile is told by `restated_at` and `last_order`, which are as of after the wait for the lock.
_LOCK: Final = (
    "WITH locked AS MATERIALIZED (SELECT last_order, consents, restated_at FROM clients WHERE id = %(id)s FOR UPDATE)"
    " SELECT last_order, consents, restated_at, clock_timestamp(),"
    " EXISTS (SELECT FROM outbox WHERE aggregate = %(id)s) FROM locked"
)
_RESTATED: Final = (
    "UPDATE clients SET last_order = %(order)s, consents = %(consents)s, restated_at = %(now)s WHERE id = %(id)s"
)


class Restating:
    """Restates, from the tables, each client that the log leaves in doubt, and pages where it can't."""

    def __init__(self, database: Database, view: ControlView, lasting: Lasting) -> None:
        self._database = database
        self._view = view
        self._lasting = lasting
        self._why: dict[str, Why] = {}
        self._unknown: dict[str, Why] = {}
        self._tried: dict[str, float] = {}

    async def run(self) -> None:
        """Look for as long as the service runs."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY)

    async def look(self) -> None:
        """Restate whom the log leaves in doubt, as far as it was read."""
        in_doubt = self._view.clients_in_doubt()
        self._tried = {one: at for one, at in self._tried.items() if one in in_doubt}
        self._why = {one: self._why.get(one, "restating") for one in in_doubt}
        if self._view.confirmed_within(CONFIRMED_WITHIN):
            try:
                for client_id in self._due(in_doubt):
                    await self._try(client_id, in_doubt[client_id])
            except self._database.away as error:
                logs.get().warning("clients in doubt wait for the database", **logs.describe(error))
        self._lasting.look(self._why | self._unknown)

    def _due(self, in_doubt: Iterable[str]) -> list[str]:
        before = time.monotonic() - TRY_AGAIN_AFTER
        return list(islice((one for one in in_doubt if self._tried.get(one, before) <= before), AT_ONCE))

    async def _try(self, client_id: str, said: ClientConsents) -> None:
        """Restate one; who holds its row for long holds up nobody else."""
        self._tried[client_id] = time.monotonic()
        try:
            self._why[client_id] = await self._restate(client_id, said)
        except LockNotAvailable:
            return
        if self._why[client_id] == "unknown-client":
            self._forget(client_id)

    def _forget(self, client_id: str) -> None:
        """A client's row is older than all its records: who is unknown stays so, and needs no room for ever."""
        self._view.forget(client_id)
        self._why.pop(client_id)
        if len(self._unknown) < AT_MOST_UNKNOWN:
            self._unknown[client_id] = "unknown-client"

    async def _restate(self, client_id: str, said: ClientConsents) -> Why:
        """Put the client's complete state into the outbox, unless that was done a moment ago.

        Under the row's lock: what narrows or widens is in the state, or comes after it with a higher order.
        """
        if NUL in client_id:  # no id of ours, and no text for the database
            return "unknown-client"
        async with self._database.direct.transaction() as connection:
            await connection.execute(_PATIENCE)
            row = await (await connection.execute(_LOCK, {"id": client_id}, binary=True)).fetchone()
            if row is None:
                return "unknown-client"
            last_order, state, restated_at, now, waits = row
            held = read_consents(state)
            if is_behind(last_order, held, said):  # the log has what our tables have lost: we would undo it
                return "behind-the-log"
            if waits or (restated_at is not None and now - restated_at < AT_MOST_EVERY):
                return "restating"
            return "restating" if await restate(connection, client_id, last_order, held, now) else "too-large"


async def restate(
    connection: psycopg.AsyncConnection, client_id: str, last_order: int, held: ClientConsents, now: datetime
) -> bool:
    """Let this be what is held of a client, and say it on the log; False, and nothing done, if it is too large."""
    order = max(last_order + 1, microseconds(now))
    body = canonical.encode(restatement(client_id, order, held, now))
    if len(body) + ROOM_FOR_SIGNING > topics.load()[TOPIC].max_message_bytes:
        return False  # in the outbox it would keep back what the client says next
    after = canonical.encode(replace(held, mark=order))
    await connection.execute(_RESTATED, {"id": client_id, "order": order, "consents": after, "now": now})
    await outbox.put_on(connection, topic=TOPIC, key=client_id.encode(), aggregate=client_id, body=body)
    return True


def restatement(client_id: str, order: int, held: ClientConsents, now: datetime) -> ConsentRestated:
    """Return the record that says all that our tables hold of what may cross about a client."""
    data = ConsentRestatedData(order=order, key_id=UNSIGNED, signature=UNSIGNED, client_id=client_id, consents=held)
    return ConsentRestated(id=random_id(), source=SOURCE, time=rfc3339(now), specversion="1.0", data=data)
