"""Lets those who want beds of one unit wait for each other in this process, without a database connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

import psycopg

from services.kit.auth import Principal
from services.kit.direct import CONNECT_SECONDS
from services.kit.idempotency import Creation
from services.shelter_beds import bodies, holds
from services.shelter_beds.store import UnitBusy


class Turns:
    """One taker at a time for each unit. A unit for which nobody waits any more is forgotten.

    Nothing depends on it but who waits where: the row's lock is the truth, and other processes have turns of their own.
    """

    def __init__(self, seconds: float = CONNECT_SECONDS) -> None:
        self._seconds = seconds
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def place(self, once: Creation, caller: Principal, body: bodies.NewHold) -> bodies.HoldView:
        """Place a hold, at once if it can be; `holds.place` says what is refused."""
        try:
            return await once(caller, bodies.HoldView, lambda session: holds.place(session, caller, body, waits=False))
        except UnitBusy:  # its connection is given back, and what it had begun undone
            async with self.turn(body.unit_id):
                return await once(caller, bodies.HoldView, lambda session: holds.place(session, caller, body))

    @asynccontextmanager
    async def turn(self, unit_id: str) -> AsyncIterator[None]:
        """Be alone with this unit in here; psycopg.OperationalError for who waited in vain, as for a connection."""
        lock = self._locks.setdefault(unit_id, asyncio.Lock())
        try:
            async with asyncio.timeout(self._seconds):
                await lock.acquire()
        except TimeoutError:
            raise psycopg.OperationalError("no turn came in time") from None
        try:
            yield
        finally:
            lock.release()
