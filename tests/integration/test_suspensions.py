"""An agreement is said to be suspended only when the log has it everywhere and the custodian has read that far."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from services.governance import records, store
from services.governance.custodian import Suspensions
from services.governance.model import Step
from services.kit import outbox
from services.kit.clients import DependencyDown
from services.kit.database import Database, migrate
from tests.conftest import Databases

KEY = records.agreement_key("a1")


@pytest.fixture
async def database(postgres: Databases) -> AsyncIterator[Database]:
    url = SecretStr(postgres.create_database("governance"))
    migrate("governance", url)
    opened = Database(url)
    yield opened
    await opened.close()


async def step(database: Database) -> str:
    async with database.transaction() as session:
        return (await store.agreement(session, "a1", None)).step


async def test_a_suspension_is_confirmed_by_the_log_and_the_custodian(database: Database) -> None:
    seen: list[int] = [0, 0]
    down = True

    async def custodian() -> Sequence[int]:
        if down:
            raise DependencyDown("consent")
        return seen

    suspensions = Suspensions(database, custodian)
    assert not await suspensions.confirm()
    async with database.transaction() as session:
        session.add(
            store.Agreement(
                id="a1",
                version=1,
                title="Sharing",
                parties=["a", "b"],
                content={},
                step=Step.SUSPENDING,
                created_at=datetime.now(UTC),
            )
        )
        for partition in (0, 1):
            await outbox.put(
                session, topic="client-events", key=KEY.encode(), aggregate=KEY, body=b"", partition=partition
            )
    assert await suspensions.confirm()
    assert await step(database) == "suspending"  # the custodian is down
    down = False
    seen[:] = [100, 100]
    await suspensions.confirm()
    assert await step(database) == "suspending"  # the log has not taken it
    async with database.transaction() as session:
        await session.execute(text("DELETE FROM outbox"))
        await store.note_position(session, KEY, 0, 100)
        await store.note_position(session, KEY, 1, 100)
        await store.note_position(session, KEY, 1, 101)
    await suspensions.confirm()
    assert await step(database) == "suspending"  # the custodian has not read one partition far enough
    seen[:] = [100, 101]
    await suspensions.confirm()
    assert await step(database) == "suspended"
    assert not await suspensions.confirm()
