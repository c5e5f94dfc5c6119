"""A database that is older than the log: how a service tells, and what it says then."""

import time
from collections.abc import AsyncGenerator
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.kit import topics as declarations
from services.kit.broker import Ends, Record, read_all
from services.kit.connecting import Kafka
from services.kit.database import Database
from services.kit.leadership import RELAY_LOCK
from services.kit.logs import OperatorError
from services.kit.marks import Mark, OwnMark, SourceMark, SourceOffset
from services.kit.progress import Position, advance, begin, positions
from services.kit.reader import Apply

NEWEST: Final = 1_000
"""Records of a partition. A relay may send again what it had in flight, 500 rows; the newest is among so many."""


_ALONE: Final = text(f"SELECT pg_try_advisory_xact_lock({RELAY_LOCK})")


class RestoredError(OperatorError):
    """The service said on the log what its tables do not know: they are a restored backup's."""

    def __init__(self, service: str) -> None:
        super().__init__(
            f"The log has what {service} said, and its tables do not: its database is older than the log. "
            f"Run `threshold restored {service}`, and it starts."
        )


class RunningError(OperatorError):
    """The service runs on the tables that are to be changed."""


async def alone(session: AsyncSession, service: str) -> None:
    """Keep the service's relay, and so the service, out until the transaction ends; RunningError if it is there."""
    if not await session.scalar(_ALONE):
        raise RunningError(f"{service} is running: stop it, and start it again afterwards.")


async def newest(kafka: Kafka, database: Database, topic: str) -> AsyncGenerator[list[Record], None]:
    """Give the newest records of each partition of a topic of ours, but for what `accept` let pass, in runs of one."""
    async with database.transaction() as session:
        accepted = await positions(session, topic)
    starts = {
        partition: max(accepted.get(partition, 0), end - NEWEST)
        for partition, end in (await _ends(kafka, topic)).items()
    }
    async for run in read_all(kafka, topic, starts):
        yield run


async def accept(session: AsyncSession, kafka: Kafka, topic: str) -> None:
    """Let what stands on a topic of ours now be no reason any more to believe that the tables are older than it."""
    for partition, end in (await _ends(kafka, topic)).items():
        await session.merge(Position(topic=topic, partition=partition, next=end))


async def _ends(kafka: Kafka, topic: str) -> dict[int, int]:
    async with Ends(kafka, topic, declarations.load()[topic].partitions) as ends:
        return await ends.now()


async def catch_up(
    session: AsyncSession, kafka: Kafka, topic: str, apply: Apply, source_offset: SourceOffset | None = None
) -> None:
    """Do in the caller's transaction what the service's reader of a topic would do next: read it to its end."""
    for partition in range(declarations.load()[topic].partitions):
        await begin(session, topic, partition)
    stands = await positions(session, topic)
    marks: dict[int, Mark] = {
        partition: OwnMark(following) if source_offset is None else SourceMark(following, topic, source_offset)
        for partition, following in stands.items()
    }
    async for run in read_all(kafka, topic, stands):
        partition = run[0].partition
        before = marks[partition].next
        if taken := marks[partition].take(run, time.monotonic()):
            await apply(session, taken)
            await advance(session, topic, {partition: (before, marks[partition].next)})


async def everything(kafka: Kafka, topic: str) -> AsyncGenerator[list[Record], None]:
    """Give all records of a topic, in runs of one partition."""
    async for run in read_all(kafka, topic, dict.fromkeys(range(declarations.load()[topic].partitions), 0)):
        yield run
