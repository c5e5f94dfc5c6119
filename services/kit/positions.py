"""Where a reader stands: the reading automaton of derived topics, and the table that moves with the reader's rows."""

from collections import OrderedDict
from collections.abc import Mapping
from enum import Enum

from alembic.operations import Operations
from sqlalchemy import BigInteger, Column, CursorResult, Integer, Text, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel, col, select

COPIES_REMEMBERED = 1024
ALARM_AFTER = 60.0  # seconds that a gap may stay open


class Reading(Enum):
    """What the automaton says of a record of a derived topic."""

    APPLY = "apply"  # the exact successor of the mark
    DROP = "drop"  # at or below the mark: a late copy, by a restart or a zombie
    DIFFERS = "differs"  # at or below the mark and not what stood there first: drop it, and raise the alarm
    AHEAD = "ahead"  # beyond the successor: ignore it and keep reading


class ReadingAutomaton:
    """The one rule by which every reader of one partition of a derived topic moves its mark.

    A record of a derived topic carries the offset of the record it was made from, its source. `next` is the source
    offset that comes next: everything below it was applied, in order, exactly once. First occurrences arrive in order;
    whatever a zombie or a restarted writer adds later is a copy and changes nothing. Of the last
    COPIES_REMEMBERED records applied it knows the digests, so a later copy that differs is told from one that does
    not. Pure: the time, in seconds of any one clock, comes with the record.
    """

    def __init__(self, next_offset: int) -> None:
        self.next = next_offset
        self._digests: OrderedDict[int, bytes] = OrderedDict()
        self._furthest = next_offset  # one past the highest source offset met
        self._gap_since: float | None = None

    def read(self, source_offset: int, digest: bytes, now: float) -> Reading:
        """Say what to do with a record, and move the mark if it is to be applied.

        `digest` identifies the record's bytes; two records of one source offset are copies when it is equal.
        """
        self._furthest = max(self._furthest, source_offset + 1)
        if source_offset > self.next:
            self._gap_since = now if self._gap_since is None else self._gap_since
            return Reading.AHEAD
        if source_offset < self.next:
            return Reading.DROP if self._digests.get(source_offset, digest) == digest else Reading.DIFFERS
        self._apply(digest)
        return Reading.APPLY

    def gap_age(self, now: float) -> float:
        """Return for how many seconds a record that was met has been out of reach of the mark; 0 if none is."""
        return 0.0 if self._gap_since is None else now - self._gap_since

    def _apply(self, digest: bytes) -> None:
        self._digests[self.next] = digest
        if len(self._digests) > COPIES_REMEMBERED:
            self._digests.popitem(last=False)
        self.next += 1
        if self.next == self._furthest:
            self._gap_since = None


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


_ADVANCE = text(
    "UPDATE positions SET next = moved.after"
    " FROM unnest(CAST(:partitions AS integer[]), CAST(:befores AS bigint[]), CAST(:afters AS bigint[]))"
    " AS moved(partition, before, after)"
    " WHERE topic = :topic AND positions.partition = moved.partition AND next = moved.before"
)


async def positions(session: AsyncSession, topic: str) -> dict[int, int]:
    """Return partition -> next offset of every partition of `topic` that was ever read."""
    rows = await session.execute(select(Position.partition, Position.next).where(col(Position.topic) == topic))
    return {row.partition: row.next for row in rows}


async def begin(session: AsyncSession, topic: str, partition: int) -> None:
    """Make the position of a partition that was never read, 0; leave any other alone."""
    row = {"topic": topic, "partition": partition, "next": 0}
    await session.execute(insert(Position).values(row).on_conflict_do_nothing())


async def advance(session: AsyncSession, topic: str, moves: Mapping[int, tuple[int, int]]) -> None:
    """Move positions, by partition (before, after), in the caller's transaction, the one that writes the rows.

    Raises PositionMovedError if one is not where it was before; end the process then, committing nothing.
    """
    befores, afters = zip(*moves.values(), strict=True)
    said = {"topic": topic, "partitions": list(moves), "befores": list(befores), "afters": list(afters)}
    result = await session.execute(_ADVANCE, said)
    if not isinstance(result, CursorResult) or result.rowcount != len(moves):
        raise PositionMovedError(f"A position of {topic} is not any more where it was left: {said}")
