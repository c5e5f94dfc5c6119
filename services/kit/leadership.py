"""Makes one relay of a database the leader, for as long as its connection lives, and tells it of new rows."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg

from services.kit.direct import CONNECT_SECONDS
from services.kit.outbox import CHANNEL

RELAY_LOCK = "hashtextextended('outbox relay', 0)"
HEARTBEAT = 1.0  # seconds; also how long an unnoticed row may wait
CONNECTION_ANSWERS_WITHIN = 2.0  # seconds


@asynccontextmanager
async def leadership(url: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """Wait until this relay is the only one; the lock lives as long as the connection, which `notices` watches.

    `url` is a libpq connection string: a direct connection, for a pooler would give the lock to somebody else.
    """
    connection = await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=CONNECT_SECONDS)
    async with connection:
        await connection.execute(f"SELECT pg_advisory_lock({RELAY_LOCK})")
        await connection.execute(f"LISTEN {CHANNEL}")
        yield connection


async def notices(connection: psycopg.AsyncConnection) -> AsyncIterator[None]:
    """Tell of each notice that a row was put, and every HEARTBEAT, for a notice may be lost.

    Raises psycopg.OperationalError or TimeoutError as soon as the connection, and with it the lock, may be lost.
    """
    while True:
        async for _ in connection.notifies(timeout=HEARTBEAT):
            yield
        yield
        async with asyncio.timeout(CONNECTION_ANSWERS_WITHIN):
            await connection.execute("SELECT 1")
