"""What a service finds out about Kafka before it serves, from a broker that is elsewhere or away for a while."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiokafka.admin import AIOKafkaAdminClient

from services.kit.broker import quiet_clients
from services.kit.permitted import missing
from services.kit.required import NotConnectedError, require_topics
from services.kit.rights import Right
from tests.support.own_kafka import STANDING_KAFKA, OwnKafka
from tests.support.ports import free_port_base


@pytest_asyncio.fixture
async def standing() -> AsyncIterator[OwnKafka]:
    async with STANDING_KAFKA.lent() as broker:
        yield broker


async def test_a_broker_that_says_it_is_elsewhere_is_not_reached_in_the_clear(tmp_path: Path) -> None:
    with free_port_base() as base:
        broker = OwnKafka(tmp_path / "kafka", base, advertised="192.0.2.1")
        try:
            await broker.start()
            with pytest.raises(NotConnectedError, match=r"say that they are at 192\.0\.2\.1:\d+: only brokers on this"):
                await require_topics(broker.bootstrap, "audit")
        finally:
            broker.kill()


async def test_a_group_is_asked_about_again_while_its_broker_comes_back(standing: OwnKafka) -> None:
    quiet_clients()
    admin = AIOKafkaAdminClient(bootstrap_servers=standing.bootstrap)
    await admin.start()
    try:
        standing.kill()
        asking = asyncio.create_task(missing(admin, [Right("audit", "group", "audit", "read")]))
        await standing.start()
        assert await asking == []
    finally:
        await admin.close()
