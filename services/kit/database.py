"""A service's own PostgreSQL database: sessions, its clock, and migrations at start."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final, cast

import psycopg
from alembic import command, context
from alembic.config import Config
from pydantic import SecretStr
from sqlalchemy import Connection, MetaData, create_engine, event, func, pool, select, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from services.kit.direct import CONNECT_SECONDS, RESTED_SECONDS, Direct

POOL_SIZE: Final = 5
POOL_OVERFLOW: Final = 5
CONNECT_ARGUMENTS: Final[dict[str, Any]] = {"connect_timeout": CONNECT_SECONDS, "options": "-c timezone=UTC"}
MIGRATION_LOCK: Final = 7_201_865_301
"""Any constant: one process at a time migrates a database."""

_RESTING: Final = "resting_since"

NAMING: Final = {
    "pk": "pk_%(table_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}


def new_metadata() -> MetaData:
    """Make the metadata for one service's tables, with predictable constraint names.

    Every service has its own: `class Table(SQLModel, registry=registry(metadata=METADATA))` is the base of its tables.
    """
    return MetaData(naming_convention=NAMING)


def new_engine(url: SecretStr, size: int, overflow: int = 0) -> AsyncEngine:
    """Make a pool of connections; one that rested is tried before it is used, for the server may have gone meanwhile.

    To try each before each transaction would be a third of the trips to the database.
    """
    engine = create_async_engine(
        url.get_secret_value(),
        pool_size=size,
        max_overflow=overflow,
        pool_timeout=CONNECT_SECONDS,
        hide_parameters=True,  # an error names the statement, never a client's data
        connect_args=CONNECT_ARGUMENTS,
    )

    @event.listens_for(engine.sync_engine, "checkin")
    def rest(_: object, record: ConnectionPoolEntry) -> None:
        record.info[_RESTING] = time.monotonic()

    @event.listens_for(engine.sync_engine, "checkout")
    def check(connection: DBAPIConnection, record: ConnectionPoolEntry, _: object) -> None:
        if time.monotonic() - record.info.get(_RESTING, float("inf")) > RESTED_SECONDS:
            try:
                engine.dialect.do_ping(connection)
            except engine.dialect.loaded_dbapi.Error as error:
                raise DisconnectionError from error  # the pool makes a new one

    return engine


class Database:
    """The connection pools of one service; `direct` is for the statements that every referral passes."""

    away = (OperationalError, InterfaceError, PoolTimeout, psycopg.OperationalError, psycopg.InterfaceError)
    """What is raised when the database can't be reached."""

    def __init__(self, url: SecretStr) -> None:
        self.url = url
        self.engine = new_engine(url, POOL_SIZE, POOL_OVERFLOW)
        self.direct = Direct(url, POOL_SIZE + POOL_OVERFLOW)
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Give a session that commits when the block ends and rolls back when it raises."""
        async with self._sessions.begin() as session:
            yield session

    async def migrate(self, service: str) -> None:
        """Bring its tables up to the service's newest migration."""
        await asyncio.to_thread(migrate, service, self.url)

    async def ping(self) -> None:
        """Return when the database answers; raises otherwise."""
        async with self.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Close every connection."""
        await self.direct.close()
        await self.engine.dispose()


async def driver(session: AsyncSession) -> psycopg.AsyncConnection:
    """Return the session's own connection, in its transaction, for a statement that every referral passes."""
    connection = (await session.connection()).sync_connection
    if connection is None:
        raise RuntimeError("the session has ended")
    return cast("psycopg.AsyncConnection", connection.connection.driver_connection)


async def now(session: AsyncSession) -> datetime:
    """Return the database's time of this moment.

    Not PostgreSQL's now(), which is when the transaction began: after waiting for a lock that is the past.
    """
    moment: datetime = (await session.scalars(select(func.clock_timestamp()))).one()
    return moment


def migrate(service: str, url: SecretStr) -> None:
    """Bring a service's tables up to its newest migration, in one transaction, one process at a time. Blocks."""
    engine = create_engine(url.get_secret_value(), poolclass=pool.NullPool, connect_args=CONNECT_ARGUMENTS)
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        command.upgrade(_configuration(service, connection), "head")


def run_environment(metadata: MetaData) -> None:
    """Do what a service's `migrations/env.py` has to do: its whole content is the call of this."""
    connection: Connection = context.config.attributes["connection"]
    context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=False)
    context.run_migrations()


def _configuration(service: str, connection: Connection) -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", f"services.{service}:migrations")
    configuration.set_main_option("path_separator", "os")
    configuration.attributes["connection"] = connection
    return configuration
