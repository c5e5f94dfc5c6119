"""The outbox: what a service says on the log, written in the transaction that makes it true, sent by its relay."""

from collections.abc import Iterable
from datetime import datetime

from alembic.operations import Operations
from msgspec import Struct
from psycopg import AsyncConnection
from sqlalchemy import BigInteger, Column, DateTime, Identity, Integer, LargeBinary, Text, func, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel, col

from services.kit.database import driver

CHANNEL = "outbox"

# One round trip; PostgreSQL delivers the notice when, and only if, the transaction commits.
_PUT = (
    "WITH put AS (INSERT INTO outbox (aggregate, topic, key, partition, body)"
    " VALUES (%(aggregate)s, %(topic)s, %(key)b, %(partition)s, %(body)b) RETURNING id)"
    " SELECT id, CASE WHEN %(notify)s THEN pg_notify('outbox', '') END FROM put"
)
# The same for several records of one aggregate, in their order; it is a part of a statement, in which `{source}` says
# on what they depend: its rows, of which there is one or none.
PUT_ALL = (
    "INSERT INTO outbox (aggregate, topic, key, body)"
    " SELECT CAST(%(aggregate)s AS text), CAST(%(topic)s AS text), CAST(%(key)b AS bytea), said.body"
    " FROM {source}, unnest(CAST(%(bodies)s AS bytea[])) WITH ORDINALITY AS said(body, place)"
    " ORDER BY place RETURNING CASE WHEN %(notify)s THEN pg_notify('outbox', '') END"
)
_WAKE = text("SELECT pg_notify('outbox', '')")
_FETCH = (
    "SELECT id, aggregate, topic, key, partition, body FROM outbox"
    " WHERE parked_reason IS NULL AND id <> ALL(CAST(%(known)s AS bigint[]))"
    " AND aggregate NOT IN (SELECT aggregate FROM outbox WHERE parked_reason IS NOT NULL)"
    " ORDER BY id LIMIT %(room)s"
)
_DELETE = "DELETE FROM outbox WHERE id = ANY(CAST(%(ids)s AS bigint[])) RETURNING id"
_PARK = text("UPDATE outbox SET parked_reason = :reason WHERE id = :id")
_COUNT = text(
    "SELECT count(*) FILTER (WHERE parked_reason IS NULL),"
    " count(DISTINCT aggregate) FILTER (WHERE parked_reason IS NOT NULL) FROM outbox"
)


class Outbox(SQLModel, table=True):
    """A record on its way to the log; the relay deletes it once the log has taken it."""

    __tablename__ = "outbox"

    id: int = Field(sa_type=BigInteger, primary_key=True)
    aggregate: str = Field(sa_type=Text)
    topic: str = Field(sa_type=Text)
    key: bytes = Field(sa_type=LargeBinary)
    partition: int | None = Field(sa_type=Integer, default=None)
    body: bytes = Field(sa_type=LargeBinary)
    parked_reason: str | None = Field(sa_type=Text, default=None)
    created_at: datetime = Field(sa_type=DateTime)


class OutboxRow(Struct, frozen=True):
    """An outbox row as the relay holds it."""

    id: int
    aggregate: str
    topic: str
    key: bytes
    partition: int | None
    body: bytes


def create_outbox(op: Operations) -> None:
    """Make the table, in a migration: `create_outbox(op)`."""
    op.create_table(
        "outbox",
        Column("id", BigInteger, Identity(always=True), primary_key=True),
        Column("aggregate", Text, nullable=False),
        Column("topic", Text, nullable=False),
        Column("key", LargeBinary, nullable=False),
        Column("partition", Integer),
        Column("body", LargeBinary, nullable=False),
        Column("parked_reason", Text),
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    )
    op.create_index(
        "outbox_parked", "outbox", ["aggregate"], postgresql_where=text("parked_reason IS NOT NULL"), unique=False
    )


async def put(
    session: AsyncSession, *, topic: str, key: bytes, aggregate: str, body: bytes, partition: int | None = None
) -> int:
    """Insert a record into the outbox in the caller's transaction and wake the relay; return the row's id.

    The caller has locked the aggregate's row, so that ids and commits of one aggregate have one order: the order in
    which its records reach the log, of those with a `partition` (control records) per partition. `body` is what the
    relay's `prepare` makes the record's value of at the moment it is sent.
    """
    connection = await driver(session)
    return await put_on(connection, topic=topic, key=key, aggregate=aggregate, body=body, partition=partition)


async def put_on(
    connection: AsyncConnection,
    *,
    topic: str,
    key: bytes,
    aggregate: str,
    body: bytes,
    partition: int | None = None,
    notify: bool = True,
) -> int:
    """Do what `put` does, on a connection that is in the caller's transaction.

    Without `notify` the caller wakes the relay after its commit: commits with a notice wait for each other's.
    """
    row = {"aggregate": aggregate, "topic": topic, "key": key, "partition": partition, "body": body, "notify": notify}
    found = await (await connection.execute(_PUT, row)).fetchone()
    if found is None:
        raise RuntimeError("an INSERT without a row")
    return int(found[0])


async def fetch(connection: AsyncConnection, known: Iterable[int], room: int) -> list[OutboxRow]:
    """Return up to `room` rows that may be sent and are not `known` yet, in the order of their ids."""
    found = await connection.execute(_FETCH, {"known": list(known), "room": room}, binary=True)
    return [OutboxRow(*row) for row in await found.fetchall()]


async def delete(connection: AsyncConnection, ids: Iterable[int]) -> set[int]:
    """Delete rows that the log has taken; return the ids of those that were still there."""
    found = await connection.execute(_DELETE, {"ids": list(ids)}, binary=True)
    return {id_ for (id_,) in await found.fetchall()}


async def park(session: AsyncSession, row: OutboxRow, reason: str) -> None:
    """Keep a row that can't be sent, and with it all that follows of its aggregate, until `unpark`."""
    await session.execute(_PARK, {"id": row.id, "reason": reason})


async def counts(session: AsyncSession) -> tuple[int, int]:
    """Return how many rows wait to be sent or acknowledged, and how many aggregates are parked."""
    backlog, parked = (await session.execute(_COUNT)).one()
    return backlog, parked


async def unpark(session: AsyncSession, aggregate: str) -> None:
    """Let the relay try an aggregate again whose row could not be sent, after its cause was mended."""
    await session.execute(
        update(Outbox)
        .where(col(Outbox.aggregate) == aggregate)
        .values(parked_reason=None)
        .execution_options(synchronize_session=False)
    )
    await session.execute(_WAKE)
