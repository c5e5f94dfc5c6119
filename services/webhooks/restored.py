"""A restored database of webhooks: noticed at start; nothing is sent by it before it is confirmed."""

from collections.abc import Sequence
from contextlib import aclosing
from typing import Final

import msgspec
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from schemas.disclosures import Delivery
from services.kit.connecting import Kafka
from services.kit.database import Database, driver
from services.kit.restored import RestoredError, accept, alone, newest
from services.webhooks import records

SERVICE: Final = "webhooks"
UNCONFIRMED: Final = "restored"
AHEAD: Final = 2**40
"""Further than any cursor given since the backup: what is read again comes in another order, and after them all."""

_DELIVERY: Final = msgspec.json.Decoder(Delivery)
_KNOWN: Final = (
    "SELECT count(*) FROM unnest(CAST(%(decisions)s AS text[]), CAST(%(endpoints)s AS text[]),"
    "  CAST(%(attempts)s AS integer[])) AS said(decision, endpoint, attempt)"
    " JOIN decisions ON decisions.id = said.decision"
    " LEFT JOIN deliveries ON deliveries.decision = decisions.number AND endpoint_id = said.endpoint"
    " WHERE CASE WHEN said.endpoint IS NULL THEN inbox_attempts ELSE deliveries.attempt END >= said.attempt"
)
_UNCONFIRM: Final = text(
    "UPDATE endpoints SET held_until = '9999-12-31', disabled_reason = :why WHERE enabled AND deleted_at IS NULL"
    " RETURNING id"
)
_MOVE: Final = text("SELECT setval(name, nextval(name) + :ahead) FROM pg_get_serial_sequence(:table, :column) name")
_CURSORS: Final = (("decisions", "position"), ("deliveries", "number"))


async def check(kafka: Kafka, database: Database) -> None:
    """Raise RestoredError if the log was told of an attempt that our tables do not know."""
    async with aclosing(newest(kafka, database, records.TOPIC)) as runs:
        async for run in runs:
            told = [_DELIVERY.decode(record.value or b"") for record in run]
            async with database.transaction() as session:
                if not await _all_known(session, told):
                    raise RestoredError(SERVICE)


async def declared(kafka: Kafka, url: SecretStr) -> str:
    """Let no endpoint be sent to before its organization confirms it, and no cursor pass by what is read again."""
    database = Database(url)
    try:
        await database.migrate(SERVICE)
        async with database.transaction() as session:
            await alone(session, SERVICE)
            endpoints = (await session.execute(_UNCONFIRM, {"why": UNCONFIRMED})).all()
            for table, column in _CURSORS:
                await session.execute(_MOVE, {"table": table, "column": column, "ahead": AHEAD})
            await accept(session, kafka, records.TOPIC)
    finally:
        await database.close()
    return (
        f"{len(endpoints)} endpoints wait for their organizations: PATCH /endpoints/ID with enabled: true confirms one."
    )


async def _all_known(session: AsyncSession, told: Sequence[Delivery]) -> bool:
    columns = {
        "decisions": [each.decision_id for each in told],
        "endpoints": [each.endpoint_id for each in told],
        "attempts": [each.attempt for each in told],
    }
    known = await (await (await driver(session)).execute(_KNOWN, columns)).fetchone()
    return known == (len(told),)
