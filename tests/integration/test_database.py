"""A service's database: transactions, its clock, migrations at start, and what is said when it is away."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from pydantic import SecretStr
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import IntegrityError, OperationalError

from services.governance.tables import METADATA
from services.kit import health
from services.kit.database import Database, migrate, now
from tests.conftest import Databases

CANARY = "Jane-Canary-1961"
KIT_TABLES = {"alembic_version", "idempotency_keys", "outbox"}


@pytest.fixture
async def database(postgres: Databases) -> AsyncIterator[Database]:
    opened = Database(SecretStr(postgres.create_database("kit")))
    yield opened
    await opened.close()


async def test_a_transaction_is_whole_or_not_at_all(database: Database) -> None:
    async with database.transaction() as session:
        await session.execute(text("CREATE TABLE things (name text PRIMARY KEY)"))
    async with database.transaction() as session:
        await session.execute(text("INSERT INTO things VALUES ('kept')"))

    async def insert(*names: str) -> None:
        async with database.transaction() as session:
            for name in names:
                await session.execute(text("INSERT INTO things VALUES (:name)"), {"name": name})

    with pytest.raises(IntegrityError):
        await insert("lost", "kept")
    async with database.transaction() as session:
        assert (await session.scalars(text("SELECT name FROM things"))).all() == ["kept"]


async def test_now_goes_on_while_a_transaction_waits(database: Database) -> None:
    async with database.transaction() as session:
        before = await now(session)
        await session.execute(text("SELECT pg_sleep(0.01)"))
        after = await now(session)
    assert after - before >= timedelta(milliseconds=10)
    assert after.utcoffset() == timedelta(0)


async def test_an_error_does_not_show_the_parameters(database: Database) -> None:
    async with database.transaction() as session:
        await session.execute(text("CREATE TABLE clients (name text CHECK (name = ''))"))
    with pytest.raises(IntegrityError) as caught:
        async with database.transaction() as session:
            await session.execute(text("INSERT INTO clients VALUES (:name)"), {"name": CANARY})
    assert "[SQL parameters hidden" in str(caught.value)


async def test_ten_transactions_at_once_have_a_connection(database: Database) -> None:
    together = asyncio.Barrier(10)

    async def hold() -> None:
        async with database.transaction() as session:
            await session.execute(text("SELECT 1"))
            await together.wait()

    async with asyncio.timeout(10):
        await asyncio.gather(*(hold() for _ in range(10)))


async def test_migrations_run_once_though_many_start_at_once(postgres: Databases) -> None:
    url = SecretStr(postgres.create_database("governance"))
    await asyncio.gather(*(asyncio.to_thread(migrate, "governance", url) for _ in range(3)))
    database = Database(url)
    async with database.transaction() as session:
        assert (await session.scalars(text("SELECT count(*) FROM alembic_version"))).one() == 1
    await database.close()


async def test_readiness_tells_which_part_is_down(database: Database) -> None:
    gone = Database(SecretStr("postgresql+psycopg://nobody@127.0.0.1:1/nowhere"))
    hanging = asyncio.Event()

    async def hang() -> None:
        await hanging.wait()

    states = await health.states({"database": database.ping, "gone": gone.ping, "hanging": hang})
    assert states == {"database": "ok", "gone": "down", "hanging": "down"}


def test_the_migrations_make_the_tables_that_the_code_has(postgres: Databases) -> None:
    url = SecretStr(postgres.create_database("governance"))
    migrate("governance", url)
    engine = create_engine(url.get_secret_value())
    with engine.connect() as connection:
        found = MigrationContext.configure(
            connection,
            opts={
                "include_name": lambda name, kind, _: kind != "table" or name not in KIT_TABLES,
                "compare_server_default": True,
            },
        )
        assert compare_metadata(found, METADATA) == []
    engine.dispose()


@pytest.mark.parametrize("rested", [True, False])
async def test_a_connection_that_rested_is_tried_before_it_is_used(
    database: Database, monkeypatch: pytest.MonkeyPatch, rested: bool
) -> None:
    """The control: one that worked a moment ago is not, and tells by failing once."""
    monkeypatch.setattr("services.kit.database.RESTED_SECONDS", -1.0 if rested else 60.0)
    async with database.transaction() as session:
        first = (await session.scalars(text("SELECT pg_backend_pid()"))).one()
    with psycopg.connect(_conninfo(database)) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [first])
    if not rested:
        with pytest.raises(OperationalError):
            async with database.transaction() as session:
                await session.execute(text("SELECT 1"))
    async with database.transaction() as session:
        assert (await session.scalars(text("SELECT pg_backend_pid()"))).one() != first


def _conninfo(database: Database) -> str:
    return make_url(database.url.get_secret_value()).set(drivername="postgresql").render_as_string(hide_password=False)
