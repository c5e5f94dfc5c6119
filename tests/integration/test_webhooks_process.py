"""The service as a process: killed in the midst of a delivery, searched for what it must not keep, kept busy."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest_asyncio
from psycopg import sql

from services.kit.broker import read_all
from services.webhooks.own_keys import OwnKeys
from services.webhooks.signatures import encrypt_secret, new_secret
from tests.conftest import Databases
from tests.support.hooked import Hooked, hooked
from tests.support.log import PARTITIONS
from tests.support.tables import direct
from tests.support.waiting import wait_until_async
from tests.support.webhooks_process import processed

NAME = "Rosalind-Canary-Featherstonehaugh"
STREET = "4711 Canary Wharf Crescent"


@pytest_asyncio.fixture
async def town(postgres: Databases) -> AsyncIterator[Hooked]:
    async with hooked(postgres.create_database("webhooks")) as found:
        yield found


async def test_killed_in_the_midst_of_a_delivery_it_sends_it_again_with_the_same_id(town: Hooked) -> None:
    async with processed(town) as process:
        pair = town.pair()
        endpoint = await town.endpoint(pair[1])
        endpoint.desk.open.clear()
        made = town.referral(pair, identity={"first_name": NAME})
        await town.publish()
        await endpoint.desk.wait()
        process.kill()
        endpoint.desk.open.set()
        assert town.rows("SELECT state FROM deliveries") == [("sending",)]
        town.do("UPDATE deliveries SET lease_until = now()")  # as if its seconds had passed
        await process.start()
        first, second = await endpoint.desk.wait(2)
        assert (first.webhook_id, first.body) == (second.webhook_id, second.body)
        assert second.verified(endpoint.secret)
        assert [asked.attempt for asked in town.custodian.of(made.client_id)] == [1, 2]
        await town.delivery(endpoint, "delivered")
        interrupted, delivered = await town.wait_told(made.client_id, "released", "delivered")
        assert (interrupted.attempt, interrupted.reason, delivered.attempt) == (1, "interrupted", 2)
        await process.stop()


async def test_nothing_that_was_opened_is_kept_anywhere(town: Hooked) -> None:
    async with processed(town) as process:
        pair = town.pair()
        endpoint = await town.endpoint(pair[1])
        endpoint.desk.answers = [(500, {})]
        made = town.referral(pair, identity={"first_name": NAME}, notes={"text": f"Stays at {STREET}"})
        await town.publish()
        await endpoint.desk.wait(2)
        assert NAME in endpoint.desk.received[0].raw.decode()
        await town.delivery(endpoint, "delivered")
        assert NAME in json.dumps(await town.get(pair[1], "/inbox"))
        await town.wait_told(made.client_id, "failed", "delivered", "released", "delivered")
        await process.stop()
        kept = {"log": process.log.read_bytes()}
        kept |= await asyncio.to_thread(_rows, town)
        kept |= {topic: await _records(town, topic) for topic in ("deliveries", "disclosures")}
        assert {place for place, content in kept.items() if _is_in(NAME, content) or _is_in(STREET, content)} == set()
        assert made.client_id.encode() not in kept["log"]
        assert endpoint.secret.removeprefix("whsec_").encode() not in b"".join(kept.values())
        assert {"log", "decisions", "deliveries", "attempts", "endpoints"} <= kept.keys()
        planted = {place: content + base64.b64encode(b"xx" + NAME.encode()) for place, content in kept.items()}
        assert all(_is_in(NAME, content) for content in planted.values())


async def test_a_thousand_dead_endpoints_slow_no_living_one(town: Hooked) -> None:
    async with processed(town):
        await _beside_a_thousand_dead(town)


async def _beside_a_thousand_dead(town: Hooked) -> None:
    dead, living = town.pair(), town.pair()
    endpoint = await town.endpoint(living[1])
    town.referral(living)
    await town.publish()
    await endpoint.desk.wait()
    hole = town.receiver.desk("hole")
    hole.open.clear()
    await _endpoints(town, dead[1], ["http://127.0.0.1:1/hook"] * 700 + [hole.url] * 300)
    town.referral(dead)
    await town.publish()
    await wait_until_async(lambda: _attempts(town) > 200, what="200 attempts", deadline=60)
    times: list[float] = []
    for number in range(20):
        town.referral(living)
        began = time.monotonic()
        await town.publish()
        received = await endpoint.desk.wait(number + 2)
        times.append(received[-1].at - began)
    print(f"beside 1,000 dead endpoints: median {sorted(times)[10] * 1000:.0f} ms, longest {max(times) * 1000:.0f} ms")
    assert sorted(times)[10] < 2
    hole.open.set()


def _attempts(town: Hooked) -> int:
    with direct(town.settings.database_url) as connection:
        found = connection.execute("SELECT count(*) FROM attempts").fetchone()
    return int(found[0]) if found else 0


async def _endpoints(town: Hooked, organization: str, urls: list[str]) -> None:
    """Register many endpoints at once."""
    key = OwnKeys.of(town.settings.assertion_key).endpoint_secrets
    secret = new_secret()
    with direct(town.settings.database_url) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO endpoints (id, organization, url, types, secret, enabled, created_at)"
            " VALUES (%s, %s, %s, '{*}', %s, true, now())",
            [
                (f"{organization}-{number}", organization, url, encrypt_secret(key, f"{organization}-{number}", secret))
                for number, url in enumerate(urls)
            ],
        )


def _rows(town: Hooked) -> dict[str, bytes]:
    """Every table, its rows cast to text; binary columns as they are, too."""
    with direct(town.settings.database_url) as connection:
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        return {f"{name}": _content(connection, str(name)) for (name,) in names}


def _content(connection: "psycopg.Connection[tuple[object, ...]]", table: str) -> bytes:
    rows = connection.execute(sql.SQL("SELECT t::text, t.* FROM {} t").format(sql.Identifier(table))).fetchall()
    return b"\n".join(cell if isinstance(cell, bytes) else str(cell).encode() for row in rows for cell in row)


async def _records(town: Hooked, topic: str) -> bytes:
    found = b""
    async for run in read_all(town.settings.kafka, topic, dict.fromkeys(range(PARTITIONS), 0)):
        found += b"\n".join((record.key or b"") + (record.value or b"") for record in run)
    return found


def _is_in(secret: str, content: bytes) -> bool:
    """Whether a text stands in some bytes: plain, in hex, or in base64 at any alignment."""
    return any(each in content for each in _spellings(secret.encode()))


def _spellings(secret: bytes) -> Iterator[bytes]:
    yield secret
    yield secret.hex().encode()
    for alphabet in (base64.b64encode, base64.urlsafe_b64encode):
        for shift in range(3):
            encoded = alphabet(b"x" * shift + secret)
            yield encoded[4 if shift else 0 : -4]
