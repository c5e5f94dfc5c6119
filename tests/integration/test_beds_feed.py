"""The feed over real sockets: a snapshot, then what changes; who was away goes on without a gap."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from prometheus_client import REGISTRY

from schemas.beds import Unit
from services.shelter_beds.feed.rhythm import Rhythm
from tests.conftest import Databases
from tests.support.feed import Listener, listening, served
from tests.support.governance import is_problem
from tests.support.said_units import said_unit, say
from tests.support.shelter import OUTREACH, SHELTER, Shelter, opened

pytestmark = pytest.mark.asyncio(loop_scope="module")
QUICK = Rhythm(frames_every=0.05, heartbeat_every=0.3, looked_after_every=0.05)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shelter(postgres: Databases) -> AsyncIterator[Shelter]:
    async with opened(postgres.create_database("shelter_beds")) as found:
        found.lets_others_say_units()
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url(shelter: Shelter) -> AsyncIterator[str]:
    """Where the service listens; the shelter's requests go there too."""
    async with (
        served(shelter.composed(QUICK)) as url,
        httpx.AsyncClient(base_url=url, trust_env=False) as shelter.http,
    ):
        yield url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def producer(shelter: Shelter) -> AsyncIterator[AIOKafkaProducer]:
    async with AIOKafkaProducer(bootstrap_servers=shelter.bootstrap, acks="all") as producer:
        yield producer


async def test_a_snapshot_then_each_change_as_it_stands_on_the_log(shelter: Shelter, url: str) -> None:
    unit = await shelter.unit(3, area="Harbor", accessible=True)
    async with listening(url, shelter.headers(OUTREACH)) as heard:
        first = await heard.until("snapshot")
        assert heard.names()[0] == "snapshot"
        assert heard.head["content-type"] == "text/event-stream"
        assert heard.head["cache-control"] == "no-store"
        assert heard.retry is not None
        await heard.knows(unit, available=3)
        await shelter.hold(unit, beds=2)
        await heard.knows(unit, available=1, held=2)
        said = (await shelter.said_of(unit))[-1]
        listed = (await shelter.get(OUTREACH, "/availability")).json()["items"]
        assert heard.known[unit] in listed
        assert heard.known[unit]["version"] == said.version
        assert {"at", "items"} == set(first)
        assert heard.last_id is not None
        answered = {"method": "GET", "route": "/feed", "status": "200"}
        assert REGISTRY.get_sample_value("threshold_http_request_seconds_count", answered), "as soon as it begins"
    assert (await shelter.patch(SHELTER, f"/units/{unit}", withdrawn=True)).status_code in {200, 409}


async def test_who_was_away_is_told_what_changed_and_nothing_else(
    shelter: Shelter, url: str, producer: AIOKafkaProducer
) -> None:
    for name in ("staying", "changing", "going"):
        await say(producer, said_unit(name))
    async with listening(url, shelter.headers(OUTREACH)) as heard:
        for name in ("staying", "changing", "going"):
            await heard.knows(name)
    await say(producer, said_unit("changing", available=7))
    last = await say(producer, said_unit("going", withdrawn=True))
    heard.events.clear()
    async with listening(url, shelter.headers(OUTREACH), heard):
        await heard.knows("changing", available=7)
        await heard.forgets("going")
    frames = heard.of("changes")
    assert "snapshot" not in heard.names()
    assert [unit["unit_id"] for frame in frames for unit in frame["items"]] == ["changing"]
    assert [unit_id for frame in frames for unit_id in frame["removed"]] == ["going"]
    assert heard.last_id is not None
    assert heard.last_id.endswith(f":{last}")


@pytest.mark.parametrize(
    ("last_id", "reason"),
    [
        ("000000000000:0", "unknown-epoch"),
        ("nonsense", "malformed-id"),
        ("{epoch}:999999", "beyond-the-end"),
        ("{epoch}:01", "malformed-id"),
    ],
)
async def test_a_position_that_means_nothing_here_is_a_reset_and_a_snapshot(
    shelter: Shelter, url: str, last_id: str, reason: str
) -> None:
    async with listening(url, shelter.headers(OUTREACH)) as heard:
        await heard.until("snapshot")
    epoch = (heard.last_id or "").split(":")[0]
    for header in (True, False):
        again = Listener(last_id=last_id.format(epoch=epoch) if header else None)
        parameters = {} if header else {"last_event_id": last_id.format(epoch=epoch)}
        async with listening(url, shelter.headers(OUTREACH), again, **parameters):
            assert await again.until("reset") == {"reason": reason}
            await again.until("snapshot")
            assert again.names()[:2] == ["reset", "snapshot"]


async def test_a_filter_tells_of_what_fits_and_of_what_no_longer_does(
    shelter: Shelter, url: str, producer: AIOKafkaProducer
) -> None:
    await say(producer, said_unit("with-pets", pets=True, area="Elm"))
    await say(producer, said_unit("without", area="Elm"))
    async with listening(url, shelter.headers(OUTREACH), pets="true", area="Elm", age="30") as heard:
        await heard.until("snapshot")
        await heard.knows("with-pets")
        await say(producer, said_unit("without", area="Elm", available=4))
        await say(producer, said_unit("with-pets", pets=True, area="Elm", maximum_age=29))
        await heard.forgets("with-pets")
        await say(producer, said_unit("without", area="Elm", pets=True))
        await heard.knows("without", pets=True)
    assert all("without" not in frame["removed"] for frame in heard.of("changes"))


async def test_an_unknown_value_or_parameter_is_refused_by_name(shelter: Shelter, url: str) -> None:
    del url
    for parameter in ("household_type", "project_type", "age", "gender", "open", "accessible", "nobody_knows"):
        answer = await shelter.get(OUTREACH, "/feed", **{parameter: "canary-4711"})
        is_problem(answer, 422, "invalid-parameter", parameter)
        assert "canary-4711" not in answer.text


async def test_heartbeats_say_how_fresh_the_stream_is(shelter: Shelter, url: str) -> None:
    async with listening(url, shelter.headers(OUTREACH)) as heard:
        first, second = await heard.until("heartbeat"), await heard.until("heartbeat", 2)
    assert second["at"] > first["at"]
    assert second["read_to_end_at"] > first["read_to_end_at"]


async def test_who_comes_and_goes_at_random_ends_with_the_same_view(
    shelter: Shelter, url: str, producer: AIOKafkaProducer
) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    headers, wanted = shelter.headers(OUTREACH), {"pets": "true"}
    steady, roaming, choosy = Listener(), Listener(), Listener()
    async with listening(url, headers, steady):
        writing = asyncio.create_task(_writing(producer, random.Random(seed), 100))
        while not writing.done():
            enough = len(roaming.events) + chance.randrange(1, 4)
            async with listening(url, headers, roaming), listening(url, headers, choosy, **wanted):
                await roaming.hears(enough)
        last = await writing
        async with listening(url, headers, roaming), listening(url, headers, choosy, **wanted):
            for each in (steady, roaming, choosy):
                await each.reaches(last)
    assert roaming.names().count("snapshot") == 1, f"seed {seed}"
    assert roaming.known == steady.known, f"seed {seed}"
    assert choosy.known == {name: unit for name, unit in steady.known.items() if unit.get("pets")}, f"seed {seed}"
    assert len({unit for unit in steady.known if unit.startswith("random-")}) > 5


async def _writing(producer: AIOKafkaProducer, chance: random.Random, batches: int) -> int:
    last = 0
    for _ in range(batches):
        last = max(await asyncio.gather(*(say(producer, _some_unit(chance)) for _ in range(5))))
    return last


def _some_unit(chance: random.Random) -> Unit:
    values: dict[str, Any] = {"pets": chance.random() < 0.5, "withdrawn": chance.random() < 0.1}
    return said_unit(f"random-{chance.randrange(20)}", available=chance.randrange(99), **values)


async def test_changes_are_gathered_into_two_frames_a_second(shelter: Shelter, producer: AIOKafkaProducer) -> None:
    async with served(shelter.composed()) as url, listening(url, shelter.headers(OUTREACH)) as heard:
        await heard.until("snapshot")
        began = time.monotonic()
        for number in range(200):
            await say(producer, said_unit("busy", available=number))
        await heard.knows("busy", available=199)
        took = time.monotonic() - began
    assert len(heard.of("changes")) <= took / 0.5 + 1
    assert all(len(frame["items"]) == 1 for frame in heard.of("changes"))
