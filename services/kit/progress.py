"""How far a service's rows reflect each partition: the table whose rows move in the transaction of the reader's."""

from collections.abc import Mapping

from alembic.operations import Operations
from psycopg import AsyncConnection
from sqlalchemy import BigInteger, Column, Integer, Text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel

from services.kit.database import driver


class Position(SQLModel, table=True):
    """How far this service's rows reflect one partition of one topic.

    `next` is the offset that comes next: the topic's own, or of its source where the reader follows the automaton.
    """

    __tablename__ = "positions"

    topic: str = Field(primary_key=True, sa_type=Text)
    partition: int = Field(primary_key=True, sa_type=Integer)
    next: int = Field(sa_type=BigInteger)


class PositionMovedError(Exception):
    """Somebody else moved the position: this process is not, or no longer, the partition's reader and must end."""


def create_positions(op: Operations) -> None:
    """Make the table, in a migration: `create_positions(op)`."""
    op.create_table(
        "positions",
        Column("topic", Text, primary_key=True),
        Column("partition", Integer, primary_key=True, autoincrement=False),
        Column("next", BigInteger, nullable=False),
    )


_ADVANCE = (
    "UPDATE positions SET next = moved.after"
    " FROM unnest(CAST(%(partitions)s AS integer[]), CAST(%(befores)s AS bigint[]), CAST(%(afters)s AS bigint[]))"
    " AS moved(partition, before, after)"
    " WHERE topic = %(topic)s AND positions.partition = moved.partition AND next = moved.before"
)
_POSITIONS = "SELECT partition, next FROM positions WHERE topic = %(topic)s"


async def positions(session: AsyncSession, topic: str) -> dict[int, int]:
    """Return partition -> next offset of every partition of `topic` that was ever read."""
    found = await (await driver(session)).execute(_POSITIONS, {"topic": topic}, binary=True)
    return dict(await found.fetchall())


async def begin(session: AsyncSession, topic: str, partition: int) -> None:
    """Make the position of a partition that was never read, 0; leave any other alone."""
    row = {"topic": topic, "partition": partition, "next": 0}
    await session.execute(insert(Position).values(row).on_conflict_do_nothing())


async def advance(session: AsyncSession, topic: str, moves: Mapping[int, tuple[int, int]]) -> None:
    """Move positions, by partition (before, after), in the caller's transaction, the one that writes the rows.

    Raises PositionMovedError if one is not where it was before; end the process then, committing nothing.
    """
    await advance_on(await driver(session), topic, moves)


async def advance_on(connection: AsyncConnection, topic: str, moves: Mapping[int, tuple[int, int]]) -> None:
    """Do what `advance` does, on a connection that is in the caller's transaction."""
    befores, afters = zip(*moves.values(), strict=True)
    said = {"topic": topic, "partitions": list(moves), "befores": list(befores), "afters": list(afters)}
    moved = await connection.execute(_ADVANCE, said)
    if moved.rowcount != len(moves):
        raise PositionMovedError(f"A position of {topic} is not any more where it was left: {said}")
