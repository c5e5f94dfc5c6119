"""Everything that a running stack keeps or shows, place by place: for whoever looks for what must not be there."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
from kafka.admin import KafkaAdminClient

from services.kit.broker import quiet_clients, read_all
from tests.support.canary import spellings
from tests.support.stack import StackProcess
from tests.support.tables import direct

DATABASES = ("governance", "consent", "referrals", "shelter_beds", "webhooks", "audit")
Place = tuple[str, bytes]


async def kept(stack: StackProcess, addresses: Mapping[str, str]) -> list[Place]:
    """Every record, row, log line, metric and group of a stack; metrics at these base addresses by service."""
    found = [place async for place in _records(stack.kafka)]
    found += _groups(stack.kafka)
    for service in DATABASES:
        found += _rows(stack, service)
    for path in [*(stack.home / "logs").iterdir(), *_files(stack.home / "snapshots"), stack.printed]:
        found += [(f"file {path.name}", one) for line in path.read_bytes().splitlines() for one in spellings(line)]
    async with httpx.AsyncClient(trust_env=False) as http:
        for service, url in addresses.items():
            found.append((f"metrics {service}", (await http.get(f"{url}/metrics")).content))
    return found


def _files(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.exists() else []


async def _records(bootstrap: str) -> AsyncIterator[Place]:
    with closing(KafkaAdminClient(bootstrap_servers=bootstrap)) as admin:
        described = admin.describe_topics(admin.list_topics())
    for topic in described:
        name, partitions = topic["name"], [one["partition_index"] for one in topic["partitions"]]
        async for run in read_all(bootstrap, name, dict.fromkeys(partitions, 0)):
            for record in run:
                headers = [part for name, content in record.headers for part in (name.encode(), content)]
                for part in (record.key, *headers, record.value):
                    for one in spellings(part or b""):
                        yield f"topic {name}", one


def _groups(bootstrap: str) -> Iterator[Place]:
    quiet_clients()  # it can't read what Faust's members say of themselves, and says so of each
    with closing(KafkaAdminClient(bootstrap_servers=bootstrap)) as admin:
        names = [one["group_id"] for one in admin.list_groups()]
        for answer in admin.describe_groups(names).items():
            yield "group", repr(answer).encode()


def _rows(stack: StackProcess, service: str) -> Iterator[Place]:
    """Every value of every row, and the row as text: bytes are hexadecimal there."""
    with direct(stack.database(service)) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in tables:
            place = f"table {service}.{table}"
            for row in connection.execute(f'SELECT t::text, t.* FROM "{table}" t'.encode()):  # noqa: S608
                for value in row:
                    for one in spellings(_bytes(value)):
                        yield place, one


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
