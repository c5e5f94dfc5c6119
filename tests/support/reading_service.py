"""A service in a process of its own, as ours run: FastAPI under uvicorn with uvloop, a DatabaseReader inside.

Its reader writes each record to `applied`. What it does when a run comes is told on the command line.
"""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.kit.broker import Record
from services.kit.reader import DatabaseReader
from tests.support.topics import declared

APPLY = text("INSERT INTO applied (partition, log_offset, value) VALUES (:partition, :offset, :value)")
SLOW = text("SELECT pg_sleep(0.05)")


async def apply(session: AsyncSession, records: Sequence[Record]) -> None:
    """Write the records, slowly: whoever kills this process does so in the midst of a run."""
    rows = [{"partition": one.partition, "offset": one.offset, "value": one.value} for one in records]
    await session.execute(APPLY, rows)
    await session.execute(SLOW)
    if any(record.value == b"poison" for record in records):
        raise RuntimeError("a run that can't be applied")


def main(kafka: str, topic: str, partitions: str, url: str, socket: str) -> None:
    """Serve on a Unix socket until told to end."""
    topics = declared(topic, int(partitions))
    reader = DatabaseReader("tester", topic, kafka, SecretStr(url), apply, topics=topics)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with reader.running():
            yield

    uvicorn.run(FastAPI(lifespan=lifespan), uds=socket, loop="uvloop", log_level="warning")


if __name__ == "__main__":
    main(*sys.argv[1:])
