"""Whoever has taken over one service of a running stack: its keys, its place in the network, and nothing besides."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec
from aiokafka import AIOKafkaProducer

from deploy.local.secrets import read_secrets, secrets_path
from deploy.local.services import SERVICES
from policy.murmur2 import partition_of
from schemas.disclosures import Disclosure
from services.kit import keys
from services.kit.assertions import sign_assertion
from services.kit.broker import Record, read_all
from services.kit.settings import ServiceSettings
from services.kit.signing import Signer
from tests.support.governance import PARTITIONS
from tests.support.log import decode_event
from tests.support.stack import StackProcess
from tests.support.waiting import wait_until_async

_DISCLOSURE = msgspec.json.Decoder(Disclosure)


@dataclass
class Intruder:
    """As the service `name`: calls with its assertions, writes to topics, and the log read as any reader may."""

    stack: StackProcess
    name: str
    producer: AIOKafkaProducer
    secrets: dict[str, str] = field(init=False)
    settings: ServiceSettings = field(init=False)

    def __post_init__(self) -> None:
        row = next(one for one in SERVICES if one.name == self.name)
        everything = read_secrets(secrets_path(self.stack.home))
        self.secrets = {name: everything[name] for name in row.allowed_secrets}
        given: dict[str, Any] = {
            "assertion_key": self.secrets[f"THRESHOLD_{self.name.upper()}_ASSERTION_KEY"],
            "assertion_public_keys": msgspec.json.decode(self.secrets["THRESHOLD_ASSERTION_PUBLIC_KEYS"]),
            "root_fingerprint": self.secrets["THRESHOLD_ROOT_FINGERPRINT"],
        }
        where: dict[str, Any] = {"kafka": self.stack.kafka, "services": self.stack.services}
        self.settings = ServiceSettings(service=self.name, **where, **given)

    def signer(self, variable: str, key_id: str) -> Signer:
        """Sign with a key that the service has, as the key that the log knows by this id."""
        return Signer(key_id, keys.decode_private(self.secrets[variable]))

    async def asks(
        self, target: str, method: str, path: str, body: object = None, /, **changes: Any
    ) -> tuple[int, Any]:
        """Call a service with this one's assertion, some of what it says changed; the answer's status and body."""
        content = b"" if body is None else msgspec.json.encode(body)
        said: dict[str, Any] = {
            "issuer": self.name,
            "audience": target,
            "method": method,
            "target": path,
            "body": content,
            "now": time.time(),
        }
        key = changes.pop("key", self.settings.assertion_key)
        answer = await self.sends(target, method, path, content, sign_assertion(key, **said | changes))
        return answer.status_code, answer.json() if answer.content else None

    async def sends(self, target: str, method: str, path: str, content: bytes, token: str) -> httpx.Response:
        """Call a service with a token as it is."""
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        async with httpx.AsyncClient(base_url=self.stack.services[target], trust_env=False, timeout=20) as http:
            return await http.request(method, path, content=content, headers=headers)

    async def writes(self, topic: str, key: str, value: bytes, partition: int | None = None) -> tuple[int, int]:
        """Put a record on a topic, by default where its key belongs; its partition and offset."""
        chosen = partition_of(key.encode(), PARTITIONS) if partition is None else partition
        placed = await self.producer.send_and_wait(topic, value, key.encode(), chosen)
        return placed.partition, placed.offset

    async def records(self, topic: str, key: str) -> list[Record]:
        """Everything under a key that is where it belongs."""
        runs = read_all(self.stack.kafka, topic, {partition_of(key.encode(), PARTITIONS): 0})
        return [record async for run in runs for record in run if record.key == key.encode()]

    async def newest(self, type_: str, key: str) -> Any:
        """The newest event of a type under a key; waits for it."""
        ending = f'"{type_}"}}'.encode()

        async def found() -> list[bytes]:
            values = [one.value or b"" for one in await self.records("client-events", key)]
            return [value for value in values if value.endswith(ending)]

        return decode_event((await wait_until_async(found, what=f"{type_} on the log"))[-1])

    async def answer(self, partition: int, offset: int) -> Disclosure:
        """What the boundary wrote of a record of client-events; waits for it."""

        async def found() -> Disclosure | None:
            runs = read_all(self.stack.kafka, "disclosures", {partition: offset})
            disclosures = [_DISCLOSURE.decode(one.value or b"") async for run in runs for one in run]
            return next((one for one in disclosures if one.source_offset == offset), None)

        return await wait_until_async(found, what=f"the answer to {partition}/{offset}")


@asynccontextmanager
async def intruding(stack: StackProcess, name: str) -> AsyncIterator[Intruder]:
    """Take over a service while the block runs; the true one goes on, too."""
    async with AIOKafkaProducer(bootstrap_servers=stack.kafka, acks="all") as producer:
        yield Intruder(stack, name, producer)
