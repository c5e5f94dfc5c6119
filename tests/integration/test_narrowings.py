"""A narrowing of an agreement is said to be done only when the log has it everywhere and the custodian has read it."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from services.governance import records, store, tables
from services.governance.custodian import Narrowings
from services.governance.model import Step
from services.kit import outbox
from services.kit.clients import DependencyDown
from services.kit.database import Database, migrate
from tests.conftest import Databases

KEY = records.agreement_key("a1")
NOW = datetime.now(UTC)


@pytest.fixture
async def database(postgres: Databases) -> AsyncIterator[Database]:
    url = SecretStr(postgres.create_database("governance"))
    migrate("governance", url)
    opened = Database(url)
    yield opened
    await opened.close()


async def step(database: Database, agreement_id: str = "a1") -> str:
    async with database.transaction() as session:
        return (await store.agreement(session, agreement_id, None)).step


def agreement(agreement_id: str, step: Step, **more: Any) -> tables.Agreement:
    return tables.Agreement(
        id=agreement_id, version=1, title="Sharing", parties=["a", "b"], content={}, step=step, created_at=NOW, **more
    )


def nothing_read() -> Sequence[int]:
    raise DependencyDown("consent")


async def test_a_suspension_is_confirmed_by_the_log_and_the_custodian(database: Database) -> None:
    seen: list[int] = [0, 0]
    down = True

    async def custodian() -> Sequence[int]:
        return nothing_read() if down else seen

    narrowings = Narrowings(database, custodian)
    assert not await narrowings.confirm()
    async with database.transaction() as session:
        session.add(agreement("a1", Step.SUSPENDING))
        for partition in (0, 1):
            await outbox.put(
                session, topic="client-events", key=KEY.encode(), aggregate=KEY, body=b"", partition=partition
            )
    assert await narrowings.confirm()
    assert await step(database) == "suspending"  # the custodian is down
    down = False
    seen[:] = [100, 100]
    await narrowings.confirm()
    assert await step(database) == "suspending"  # the log has not taken it
    async with database.transaction() as session:
        await session.execute(text("DELETE FROM outbox"))
        await store.note_position(session, KEY, 0, 100)
        await store.note_position(session, KEY, 1, 100)
        await store.note_position(session, KEY, 1, 101)
    await narrowings.confirm()
    assert await step(database) == "suspending"  # the custodian has not read one partition far enough
    seen[:] = [100, 101]
    await narrowings.confirm()
    assert await step(database) == "suspended"
    assert not await narrowings.confirm()


async def test_what_is_superseded_waits_for_its_successors_record(database: Database) -> None:
    seen = [100]

    async def custodian() -> Sequence[int]:
        return seen

    narrowings = Narrowings(database, custodian)
    async with database.transaction() as session:
        session.add(agreement("a2", Step.DECIDED))
        await session.flush()
        session.add(agreement("a1", Step.SUPERSEDING, superseded_by="a2"))
        await store.note_position(session, KEY, 0, 100)
        await store.note_position(session, records.agreement_key("a2"), 0, 101)
    assert await narrowings.confirm()
    assert await step(database) == "superseding"
    seen[:] = [101]
    await narrowings.confirm()
    assert (await step(database), await step(database, "a2")) == ("superseded", "decided")
    assert not await narrowings.confirm()


async def test_a_departure_is_effective_once_and_leaves_the_agreement_as_it_is(database: Database) -> None:
    seen = [100]

    async def custodian() -> Sequence[int]:
        return seen

    async def effective_at() -> datetime | None:
        async with database.transaction() as session:
            return (await store.departures(session, "a1"))[0].effective_at

    narrowings = Narrowings(database, custodian)
    async with database.transaction() as session:
        about: dict[str, Any] = {"victim_service_provider": False, "hipaa_covered": False, "test": False}
        session.add(tables.Organization(id="a", name="a", kind="provider", last_order=1, **about))
        session.add(agreement("a1", Step.DECIDED))
        await session.flush()
        session.add(tables.Departure(agreement="a1", organization="a", client_id="c", requested_at=NOW))
        await store.note_position(session, KEY, 0, 101)
    assert await narrowings.confirm()
    assert await effective_at() is None
    seen[:] = [101]
    await narrowings.confirm()
    done = await effective_at()
    assert done is not None
    assert (await step(database), await narrowings.confirm(), await effective_at()) == ("decided", False, done)
