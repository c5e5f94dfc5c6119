"""What a service asks of Kafka before it serves: that its topics are as declared."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaConnectionError, for_code

from services.kit.broker import quiet_clients
from services.kit.topics import Topic, TopicsDifferError, differences, load

CONNECTED_WITHIN = 10.0  # seconds
TRIED_EVERY = 0.1  # seconds


async def require_topics(bootstrap: str, service: str, topics: Mapping[str, Topic] | None = None) -> None:
    """Raise TopicsDifferError unless every topic that `service` reads or writes is as declared: call before serving.

    By aiokafka, which every service loads anyway and its administration with it: `cluster.check` says the same with a
    client that would be 12 MB of a service that only reads.
    """
    declared = load() if topics is None else topics
    mine = {name: topic for name, topic in declared.items() if service in topic.writers + topic.readers}
    async with _connected(bootstrap) as admin:
        counts = await _partition_counts(admin)
        configs = await _configs(admin, [name for name in mine if name in counts])
    found = [
        sentence
        for name, topic in mine.items()
        for sentence in differences(topic, counts.get(name), configs.get(name, {}))
    ]
    if found:
        raise TopicsDifferError(found)


@asynccontextmanager
async def _connected(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    quiet_clients()
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap.split(","))
    try:
        await _start(admin)
        yield admin
    finally:
        await admin.close()


async def _start(admin: AIOKafkaAdminClient) -> None:
    until = time.monotonic() + CONNECTED_WITHIN
    while True:
        try:
            await admin.start()
        except KafkaConnectionError:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(TRIED_EVERY)
        else:
            return


async def _partition_counts(admin: AIOKafkaAdminClient) -> dict[str, int]:
    # Of all topics: to ask for one by its name would make it, on a cluster that makes whatever is asked for.
    return {found["topic"]: len(found["partitions"]) for found in await admin.describe_topics()}


async def _configs(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for answer in await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names]):
        for error, _, _, name, entries in answer.resources:
            if error:
                raise for_code(error)(f"the configuration of {name}")
            found[name] = {entry[0]: entry[1] for entry in entries}
    return found
