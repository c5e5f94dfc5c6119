"""The feed when something is wrong: readers that do not read, a service that stops, a log that is away or another."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from kafka.admin import KafkaAdminClient
from prometheus_client import REGISTRY

from services.kit import cluster
from services.shelter_beds.feed.rhythm import Rhythm
from tests.conftest import Databases
from tests.support.callers import bearer
from tests.support.feed import Listener, listening, served
from tests.support.governance import is_problem
from tests.support.said_units import TOPIC, said_unit, say
from tests.support.shelter import OUTREACH, SCOPES, SHELTER, Shelter, opened
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.asyncio(loop_scope="module")
QUICK = Rhythm(frames_every=0.05, heartbeat_every=0.2, looked_after_every=0.05)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shelter(postgres: Databases) -> AsyncIterator[Shelter]:
    async with opened(postgres.create_database("shelter_beds")) as found:
        found.lets_others_say_units()
        yield found


async def test_a_reader_that_takes_nothing_is_left_and_delays_nobody(shelter: Shelter) -> None:
    rhythm = Rhythm(frames_every=0.05, heartbeat_every=0.2, looked_after_every=0.05, patience=0.5, send_buffer=4096)
    headers = shelter.headers(OUTREACH)
    async with (
        AIOKafkaProducer(bootstrap_servers=shelter.bootstrap) as producer,
        served(shelter.composed(rhythm)) as url,
    ):
        for number in range(100):
            await say(producer, said_unit(f"wordy-{number}", eligibility="x" * 300))
        async with listening(url, headers) as steady:
            await wait_until_async(lambda: len(steady.known) == 100, what="all units")
            before, alone = _cut_off("slow-reader"), _connections()
            with _deaf(url, headers) as deaf, _deaf(url, headers):
                await wait_until_async(lambda: _connections() == alone + 2, what="both to be connected")
                number = 0
                while _cut_off("slow-reader") < before + 2:
                    await say(producer, said_unit("wordy-0", available=(number := number + 1)))
                    await steady.knows("wordy-0", available=number)
                assert b"event: goodbye" in await asyncio.to_thread(_all_of, deaf), (
                    "it hears why, if it listens at last"
                )
                await wait_until_async(lambda: _connections() == alone, what="the other to be cut off")
            assert not steady.ended


async def test_a_service_that_stops_says_goodbye_and_does_not_wait_for_its_readers(shelter: Shelter) -> None:
    heard = Listener()
    async with served(shelter.composed(QUICK)) as url:
        reading = listening(url, shelter.headers(OUTREACH), heard)
        await reading.__aenter__()
        await heard.until("snapshot")
        began = time.monotonic()
    assert time.monotonic() - began < 4, "uvicorn would wait five seconds for a stream to end"
    assert await heard.until("goodbye") == {"reason": "stopping"}
    await wait_until_async(lambda: heard.ended, what="the stream to end")
    await reading.__aexit__(None, None, None)


async def test_a_client_that_has_all_its_places_is_refused_until_one_is_free(
    shelter: Shelter, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds = {"feed_connections_per_client": 2, "feed_filters": 1}
    monkeypatch.setattr(shelter, "settings", shelter.settings.model_copy(update=bounds))
    shelter.community.now = time.time()
    one, other = (bearer(shelter.community.token(OUTREACH, SCOPES, client_id=name)) for name in ("one", "other"))
    async with (
        served(shelter.composed(QUICK)) as url,
        httpx.AsyncClient(base_url=url, trust_env=False) as http,
        listening(url, one) as heard,
    ):
        async with listening(url, one, age="30"):
            refused = await http.get("/feed", headers=one)
            is_problem(refused, 429, "too-many-feeds")
            assert int(refused.headers["retry-after"]) > 0
            filtered = await http.get("/feed", params={"age": "31"}, headers=other)
            is_problem(filtered, 503, "too-many-filters")
            async with listening(url, other) as free, listening(url, other, age="30"):
                await free.until("snapshot")

        async def is_free() -> bool:
            async with http.stream("GET", "/feed", headers=one) as answer:
                return answer.status_code == 200

        await wait_until_async(is_free, what="the place of who left")
        assert not heard.ended


async def test_while_the_broker_is_away_the_feed_says_so_and_then_goes_on(shelter: Shelter) -> None:
    async with (
        served(shelter.composed(QUICK)) as url,
        listening(url, shelter.headers(OUTREACH)) as heard,
        httpx.AsyncClient(base_url=url, trust_env=False) as shelter.http,
    ):
        await heard.until("snapshot")
        await _until_ready(shelter, 200)
        unit = await shelter.unit(3)
        await heard.knows(unit, available=3)
        shelter.broker.kill()
        await _until_ready(shelter, 503)
        beats = [beat["read_to_end_at"] for beat in heard.of("heartbeat")[-3:]]
        assert len(set(beats)) == 1, "nobody has read to the end"
        assert (await shelter.census(SHELTER, unit, available=1, as_of="2026-01-01T00:00:00Z")).status_code in {
            200,
            409,
        }
        async with listening(url, shelter.headers(OUTREACH)) as late:  # what is known is still told, and how old it is
            await late.knows(unit)
        await shelter.broker.start()
        hold = await shelter.hold(unit, beds=1)
        await heard.knows(unit, held=1)
        assert hold["unit_id"] == unit
        await _until_ready(shelter, 200)
        await wait_until_async(lambda: heard.of("heartbeat")[-1]["read_to_end_at"] > beats[-1], what="freshness")
        assert heard.names().count("snapshot") == 1


async def test_another_log_of_the_same_name_is_a_reset(shelter: Shelter) -> None:
    headers = shelter.headers(OUTREACH)
    async with served(shelter.composed(QUICK)) as url, listening(url, headers) as heard:
        await heard.until("snapshot")
        old = heard.last_id
        await asyncio.to_thread(_make_anew, shelter.bootstrap)
        async with AIOKafkaProducer(bootstrap_servers=shelter.bootstrap) as producer:
            await say(producer, said_unit("of-the-new-log"))
        assert await heard.until("reset") == {"reason": "unknown-epoch"}
        await heard.knows("of-the-new-log")
        assert list(heard.known) == ["of-the-new-log"]
        resumed = Listener(last_id=old)
        async with listening(url, headers, resumed):
            assert await resumed.until("reset") == {"reason": "unknown-epoch"}


def _make_anew(bootstrap: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.delete_topics([TOPIC])
    admin.close()
    cluster.apply(bootstrap)


async def _until_ready(shelter: Shelter, status: int) -> None:
    async def reached() -> bool:
        return (await shelter.http.get("/readyz")).status_code == status

    await wait_until_async(reached, what=f"/readyz to answer {status}")


@contextmanager
def _deaf(url: str, headers: dict[str, str]) -> Iterator[socket.socket]:
    """Ask for the feed and read nothing of it."""
    place = urlsplit(url)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((place.hostname, place.port))
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        connection.sendall(f"GET /feed HTTP/1.1\r\nHost: {place.netloc}\r\n{head}\r\n".encode())
        yield connection


def _all_of(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def _cut_off(reason: str) -> float:
    return REGISTRY.get_sample_value("threshold_feed_cut_off_total", {"reason": reason}) or 0.0


def _connections() -> float:
    return REGISTRY.get_sample_value("threshold_feed_connections") or 0.0
