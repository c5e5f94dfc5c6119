"""The shortest way to a service's database, for the few statements that every referral passes: psycopg alone.

Of such a statement SQLAlchemy's session takes most of the time. What is read or written seldom, or is put together at
run time, stays with it: `services.kit.database`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Final

import psycopg
from psycopg.pq import TransactionStatus
from pydantic import SecretStr
from sqlalchemy import make_url

CONNECT_SECONDS: Final = 5
RESTED_SECONDS: Final = 1.0


class Transaction:
    """One that begins when its connection is first asked for: until then it holds nothing, whatever is waited for."""

    def __init__(self, begin: Callable[[], Awaitable[psycopg.AsyncConnection]]) -> None:
        self._begin = begin
        self._connection: psycopg.AsyncConnection | None = None

    async def connection(self) -> psycopg.AsyncConnection:
        """Return the connection on which its statements run."""
        if self._connection is None:
            self._connection = await self._begin()
        return self._connection


class Direct:
    """At most `size` connections, opened as they are needed; one that rested is tried before it is used.

    Raises psycopg.OperationalError when the server does not answer, or no connection becomes free in CONNECT_SECONDS.
    """

    def __init__(self, url: SecretStr, size: int) -> None:
        self._url = url
        self._free = asyncio.Semaphore(size)
        self._resting: list[tuple[psycopg.AsyncConnection, float]] = []  # the last one used comes first

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[psycopg.AsyncConnection]:
        """Give a connection on which each statement is a transaction of its own: one trip instead of three."""
        await self._wait()
        try:
            connection = await self._take()
            try:
                yield connection
            finally:
                await self._rest(connection)
        finally:
            self._free.release()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[psycopg.AsyncConnection]:
        """Give a connection whose statements commit together when the block ends and roll back when it raises."""
        async with self.connection() as connection:
            async with connection.transaction() as begun:
                yield connection
                if connection.info.transaction_status is not TransactionStatus.INTRANS:
                    raise psycopg.OperationalError("the transaction was lost before its end")
            # psycopg says nothing of a connection that it finds lost at the end; who goes on believes in a commit.
            if begun.status is not begun.Status.COMMITTED:
                raise psycopg.OperationalError("nobody knows whether the transaction was committed")

    @asynccontextmanager
    async def late_transaction(self) -> AsyncIterator[Transaction]:
        """Give a transaction that begins when it is needed; it ends as one of `transaction` does."""
        async with AsyncExitStack() as begun:
            yield Transaction(lambda: begun.enter_async_context(self.transaction()))

    async def close(self) -> None:
        """Close every connection."""
        while self._resting:
            await self._resting.pop()[0].close()

    async def _wait(self) -> None:
        if not self._free.locked():
            await self._free.acquire()
            return
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._free.acquire()
        except TimeoutError:
            raise psycopg.OperationalError("no connection became free in time") from None

    async def _take(self) -> psycopg.AsyncConnection:
        while self._resting:
            connection, since = self._resting.pop()
            if time.monotonic() - since <= RESTED_SECONDS or await _answers(connection):
                return connection
        conninfo = make_url(self._url.get_secret_value()).set(drivername="postgresql")
        return await psycopg.AsyncConnection.connect(
            conninfo.render_as_string(hide_password=False),
            autocommit=True,
            connect_timeout=CONNECT_SECONDS,
            options="-c timezone=UTC",
        )

    async def _rest(self, connection: psycopg.AsyncConnection) -> None:
        if connection.info.transaction_status is TransactionStatus.IDLE:
            self._resting.append((connection, time.monotonic()))
        else:  # it was cut off in the middle of something, or is lost
            await connection.close()


async def now(connection: psycopg.AsyncConnection) -> datetime:
    """Return the database's time of this moment."""
    row = await (await connection.execute("SELECT clock_timestamp()")).fetchone()
    if row is None:
        raise RuntimeError("a SELECT of one row without it")
    moment: datetime = row[0]
    return moment


async def _answers(connection: psycopg.AsyncConnection) -> bool:
    try:
        await connection.execute("SELECT 1")
    except psycopg.Error:
        await connection.close()
        return False
    return True
