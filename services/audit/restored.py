"""A restored database of audit: what it lacks it reads again; nothing that it said before is passed by."""

from typing import Final

from pydantic import SecretStr
from sqlalchemy import text

from services.kit.connecting import Kafka
from services.kit.database import Database

SERVICE: Final = "audit"
AHEAD: Final = 2**40
"""Further than any cursor given since the backup: what is read again comes in another order, and after them all."""

_MOVE: Final = text(
    "SELECT setval(name, nextval(name) + :ahead) FROM pg_get_serial_sequence('decisions', 'number') name"
)


async def declared(kafka: Kafka, url: SecretStr) -> str:  # noqa: ARG001 - it reads the log when it runs
    """Let the decisions that are read again come after every cursor; return a sentence."""
    database = Database(url)
    try:
        await database.migrate(SERVICE)
        async with database.transaction() as session:
            await session.execute(_MOVE, {"ahead": AHEAD})
    finally:
        await database.close()
    return "What the log has since the backup is read again, and comes after every cursor that was given."
