"""The functions of shelter_beds on a real PostgreSQL, one call at a time or several at once; no API, no Kafka."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import msgspec
from pydantic import SecretStr
from sqlalchemy import CursorResult, text
from sqlalchemy.ext.asyncio import AsyncSession

from schemas.beds import UnitAvailability
from schemas.codes import ProjectType
from services.kit.auth import Principal, Scope
from services.kit.database import Database, migrate
from services.kit.problems import Problem
from services.shelter_beds import bodies, units, worker
from services.shelter_beds.directory import RegisteredProject
from tests.support.shelter import SHELTER

T = TypeVar("T")
SCOPES = frozenset({Scope.BEDS_READ, Scope.BEDS_WRITE, Scope.HOLDS_WRITE})
_AVAILABILITY = msgspec.json.Decoder(UnitAvailability)
_PROJECT = RegisteredProject(
    organization_name="Harbor Shelter",
    project_type=ProjectType.EMERGENCY_SHELTER_ENTRY_EXIT,
    confidential=False,
    victim_service_provider=False,
    test=False,
)


def principal(organization: str) -> Principal:
    """An organization's credential."""
    return Principal(f"client-of-{organization}", organization, SCOPES)


@dataclass
class BedWorld:
    """The database, an event loop of its own, and what was said so far: nothing takes it from the outbox."""

    database: Database
    runner: asyncio.Runner
    said: dict[str, dict[str, Any]] = field(default_factory=dict)
    steps: list[bytes] = field(default_factory=list)
    _read: int = 0

    @classmethod
    def made(cls, url: str) -> "BedWorld":
        """Make the tables, and begin."""
        migrate("shelter_beds", SecretStr(url))
        return cls(Database(SecretStr(url)), asyncio.Runner())

    def close(self) -> None:
        self.runner.run(self.database.close())
        self.runner.close()

    def forget(self) -> None:
        """Begin a story of its own, without a unit."""
        self.sql("TRUNCATE units, beds, holds, changes, outbox RESTART IDENTITY CASCADE")
        self._read = 0
        self.said.clear()
        self.steps.clear()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    async def tried(self, effect: Callable[[AsyncSession], Awaitable[T]]) -> T | str:
        """Do it in a transaction; return what it made, or the type of the problem."""
        try:
            async with self.database.transaction() as session:
                return await effect(session)
        except Problem as problem:
            return problem.name

    def do(self, effect: Callable[[AsyncSession], Awaitable[T]]) -> T | str:
        return self.run(self.tried(effect))

    def at_once(self, *effects: Callable[[AsyncSession], Awaitable[Any]]) -> list[Any]:
        """Do all of them at the same time, each in a transaction of its own."""

        async def gathered() -> list[Any]:
            return list(await asyncio.gather(*(self.tried(effect) for effect in effects)))

        return self.run(gathered())

    def sweep(self) -> None:
        self.run(worker.sweep(self.database))

    def unit(self, beds: int, **said: Any) -> str:
        """Register a unit and return its id."""
        body = bodies.NewUnit(name="Harbor", project="harbor", household_type="without_children", beds=beds, **said)
        made = self.do(lambda session: units.add(session, principal(SHELTER), SHELTER, _PROJECT, body))
        assert not isinstance(made, str), made
        return made.id

    def sql(self, statement: str, **parameters: Any) -> list[Any]:
        """Run a statement, and return its rows."""

        async def ran(session: AsyncSession) -> list[Any]:
            result = cast("CursorResult[Any]", await session.execute(text(statement), parameters))
            return list(result.fetchall()) if result.returns_rows else []

        rows = self.do(ran)
        assert not isinstance(rows, str)
        return rows

    def listen(self) -> None:
        """Read what was put into the outbox since."""
        rows = self.sql("SELECT id, topic, body FROM outbox WHERE id > :read ORDER BY id", read=self._read)
        for id_, topic, body in rows:
            self._read = id_
            if topic == "bed-holds":
                self.steps.append(bytes(body))
            else:
                unit = _AVAILABILITY.decode(bytes(body)).data
                self.said[unit.unit_id] = msgspec.structs.asdict(unit)
