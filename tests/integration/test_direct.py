"""The short way to a database: what commits, what is held, and what becomes of a lost connection."""

from collections.abc import AsyncIterator
from contextlib import suppress

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import make_url

from services.kit.direct import Direct, Transaction, now
from tests.conftest import Databases


@pytest.fixture
async def url(postgres: Databases) -> SecretStr:
    return SecretStr(postgres.create_database("direct"))


@pytest.fixture
async def direct(url: SecretStr) -> AsyncIterator[Direct]:
    opened = Direct(url, 1)
    async with opened.connection() as connection:
        await connection.execute("CREATE TABLE things (name text PRIMARY KEY)")
    yield opened
    await opened.close()


async def _names(direct: Direct) -> list[str]:
    async with direct.connection() as connection:
        found = await connection.execute("SELECT name FROM things ORDER BY name")
        return [name for (name,) in await found.fetchall()]


async def _add(transaction: Transaction, name: str) -> None:
    await (await transaction.connection()).execute("INSERT INTO things VALUES (%s)", [name])


async def test_a_statement_commits_by_itself_and_a_transaction_is_whole_or_not_at_all(direct: Direct) -> None:
    async with direct.connection() as connection:
        await connection.execute("INSERT INTO things VALUES ('alone')")

    async def add(*names: str) -> None:
        async with direct.transaction() as connection:
            for name in names:
                await connection.execute("INSERT INTO things VALUES (%s)", [name])

    with pytest.raises(psycopg.errors.UniqueViolation):
        await add("lost", "alone")
    assert await _names(direct) == ["alone"]


async def test_a_late_transaction_holds_nothing_until_it_needs_its_connection(direct: Direct) -> None:
    async with direct.late_transaction() as transaction:
        assert await _names(direct) == []  # over the only connection there is
        await _add(transaction, "one")
        await _add(transaction, "two")
    assert await _names(direct) == ["one", "two"]

    async def add_twice(name: str) -> None:
        async with direct.late_transaction() as transaction:
            await _add(transaction, name)
            await _add(transaction, name)

    with pytest.raises(psycopg.errors.UniqueViolation):
        await add_twice("three")
    assert await _names(direct) == ["one", "two"]


async def test_what_was_not_committed_is_never_taken_for_committed(url: SecretStr, direct: Direct) -> None:
    """The custodian gives keys out when its transaction has ended: it may not end quietly without a commit."""

    async def swallowing() -> None:
        async with direct.transaction() as connection:
            await connection.execute("INSERT INTO things VALUES ('one')")
            with suppress(psycopg.errors.UniqueViolation):
                await connection.execute("INSERT INTO things VALUES ('one')")

    async def lost() -> None:
        async with direct.transaction() as connection:
            await connection.execute("INSERT INTO things VALUES ('two')")
            await _terminate(url, connection)
            with suppress(psycopg.OperationalError):
                await connection.execute("SELECT 1")

    for failing in (swallowing, lost):
        with pytest.raises(psycopg.OperationalError):
            await failing()
    assert await _names(direct) == []


async def _terminate(url: SecretStr, connection: psycopg.AsyncConnection) -> None:
    conninfo = make_url(url.get_secret_value()).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(conninfo) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.info.backend_pid])


async def test_who_waits_too_long_for_a_connection_is_told(direct: Direct, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.kit.direct.CONNECT_SECONDS", 0.01)
    async with direct.connection():
        with pytest.raises(psycopg.OperationalError):
            await _names(direct)
    assert await _names(direct) == []


@pytest.mark.parametrize("rested", [True, False])
async def test_a_connection_that_rested_is_tried_before_it_is_used(
    url: SecretStr, direct: Direct, monkeypatch: pytest.MonkeyPatch, rested: bool
) -> None:
    """The control: one that worked a moment ago is not, and tells by failing once."""
    monkeypatch.setattr("services.kit.direct.RESTED_SECONDS", -1.0 if rested else 60.0)
    async with direct.connection() as connection:
        first = connection.info.backend_pid
    await _terminate(url, connection)
    if not rested:
        with pytest.raises(psycopg.OperationalError):
            await _names(direct)
    async with direct.connection() as connection:
        assert connection.info.backend_pid != first
        assert (await now(connection)).utcoffset() is not None
