"""Revocations and events of the same clients, racing each other to the log."""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer

from bench.workload import Placed, Workload
from policy import base64url
from tests.support.boundary_rig import SOURCE

IN_FLIGHT = 500  # records handed over and not acknowledged yet


@dataclass(frozen=True)
class Pair:
    """One client's grant, and a revocation and a referral that race each other."""

    client: str
    grant: Placed
    revocation: Placed
    request: Placed


def pairs_of(workload: Workload, seed: int) -> Iterator[Pair]:
    """Yield pairs without end, each of a client of its own; nothing of those before is kept."""
    names = random.Random(seed)
    while True:
        client = base64url.encode(names.randbytes(16))
        recipient = workload.a_recipient(client)
        yield Pair(
            client,
            workload.grant(client, 1, to=(recipient,)),
            workload.revocation(client, 2),
            workload.request(client, 3, to=recipient),
        )


class Racers:
    """Two producers that know nothing of each other: the broker says who was first."""

    def __init__(self, revoking: AIOKafkaProducer, publishing: AIOKafkaProducer, seed: int) -> None:
        self._revoking, self._publishing = revoking, publishing
        self._random = random.Random(seed)
        self._acknowledged = 0

    @property
    def raced(self) -> int:
        """How many pairs' worth of records the log has taken."""
        return self._acknowledged // 3

    async def grant(self, pairs: Sequence[Pair]) -> None:
        """Write the grants, and return once all are acknowledged."""
        await self._send([(self._revoking, pair.grant) for pair in pairs])

    async def race(self, pairs: Sequence[Pair]) -> None:
        """Write both of each pair, all of them in any order, and return once all are acknowledged."""
        sends = [(self._revoking, pair.revocation) for pair in pairs]
        sends += [(self._publishing, pair.request) for pair in pairs]
        self._random.shuffle(sends)
        await self._send(sends)

    async def _send(self, sends: Sequence[tuple[AIOKafkaProducer, Placed]]) -> None:
        in_flight: deque[asyncio.Future[object]] = deque()
        for producer, (partition, key, value) in sends:
            if len(in_flight) >= IN_FLIGHT:
                await in_flight.popleft()
                self._acknowledged += 1
            in_flight.append(await producer.send(SOURCE, value, key, partition))
        await asyncio.gather(*in_flight)
        self._acknowledged += len(in_flight)


@asynccontextmanager
async def racers_on(kafka: str, seed: int) -> AsyncIterator[Racers]:
    """Racers for as long as the block runs."""
    revoking, publishing = (
        AIOKafkaProducer(bootstrap_servers=kafka, acks="all", enable_idempotence=True) for _ in range(2)
    )
    async with revoking, publishing:
        yield Racers(revoking, publishing, seed)
