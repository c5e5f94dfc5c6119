"""Teaches the Java runtime Kafka once, at setup: a broker that starts from what it learnt needs half the processor.

The runtime keeps its own form of the classes that a first run loaded (its ahead-of-time cache), and uses it only for
exactly these jars and this runtime; for others it loads the jars as ever.
"""

import asyncio
import socket
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from deploy.local.errors import LocalStackError
from deploy.local.kafka import Kafka, class_cache
from deploy.local.settings import LocalSettings
from deploy.local.supervisor import Supervisor
from services.kit import cluster

WRITTEN_WITHIN = 180.0  # seconds; the runtime writes it when the broker has ended


async def learn(jars: Path) -> None:
    """Run a broker through its start and the making of our topics, and keep what the runtime learnt of it."""
    class_cache(jars).unlink(missing_ok=True)
    unfinished = class_cache(jars).with_suffix(".new")
    with tempfile.TemporaryDirectory() as folder:
        kafka = Kafka(Path(folder, "kafka"), Path(folder, "kafka.log"), jars, *_free_ports(2))
        program = await asyncio.to_thread(kafka.prepare)
        java, *arguments = program.command
        learning = replace(
            program, command=(java, f"-XX:AOTCacheOutput={unfinished}", *arguments), stop_grace=WRITTEN_WITHIN
        )
        async with Supervisor(Path(folder, "run"), print) as supervisor:
            await supervisor.start(learning)
            await kafka.ready()
            await asyncio.to_thread(cluster.apply, kafka.bootstrap)
    if not unfinished.exists():
        raise LocalStackError("The Java runtime kept nothing of Kafka's first start: is the disk full?")
    unfinished.rename(class_cache(jars))


def _free_ports(count: int) -> list[int]:
    with ExitStack() as opened:
        listening = [opened.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in listening]


if __name__ == "__main__":
    try:
        asyncio.run(learn(LocalSettings.from_environment().jars))
    except LocalStackError as error:
        sys.exit(str(error))
