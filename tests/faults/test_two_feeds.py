"""Two processes of shelter_beds: who reads at one goes on at the other, also when it is killed; one of them relays."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer

from schemas.beds import HoldEvents, HoldExpired, UnitAvailability
from services.shelter_beds.saying import AVAILABILITY, HOLDS
from tests.conftest import Databases
from tests.support.bed_holders import double_holders
from tests.support.feed import Listener, listening
from tests.support.said_units import said_unit, say
from tests.support.shelter import OUTREACH, SHELTER, Shelter
from tests.support.two_feeds import TwoFeeds, two_feeds
from tests.support.waiting import wait_until_async

BEDS, UNITS, SWEPT = 200, 4, 25
_SAID = msgspec.json.Decoder(UnitAvailability)
_STEP = msgspec.json.Decoder(HoldEvents)


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def feeds(postgres: Databases) -> AsyncIterator[TwoFeeds]:
    async with two_feeds(postgres.create_database("shelter_beds")) as found:
        yield found


async def test_a_change_through_one_is_told_by_both_and_a_position_of_one_counts_at_the_other(feeds: TwoFeeds) -> None:
    shelter, heard = feeds.shelter, Listener()
    headers = shelter.headers(OUTREACH)
    unit = await shelter.unit(3)
    async with listening(feeds.one.url, headers, heard):
        await heard.knows(unit, available=3)
        await shelter.hold(unit)
        await heard.knows(unit, available=2, held=1)
    for url, held in ((feeds.other.url, 2), (feeds.one.url, 3)):
        await shelter.hold(unit)  # while it is away
        async with listening(url, headers, heard):
            await heard.knows(unit, held=held)
    assert heard.names()[0] == "snapshot"
    assert set(heard.names()[1:]) == {"changes"}
    assert len(feeds.relaying()) == 1
    said = await shelter.said_of(unit)
    assert [each.version for each in said] == [1, 2, 3, 4], "each value was sent once: by one relay"


async def test_the_one_that_relays_is_killed_under_changes_and_its_reader_goes_on_at_the_other(feeds: TwoFeeds) -> None:
    shelter, heard = feeds.shelter, Listener()
    [killed] = feeds.relaying()
    stays = feeds.other if killed is feeds.one else feeds.one
    shelter.http.base_url = stays.url
    headers = shelter.headers(OUTREACH)
    units = [await shelter.unit(BEDS) for _ in range(UNITS)]
    stop = asyncio.Event()
    through = [asyncio.create_task(_changing(shelter, each.url, units, stop)) for each in (feeds.one, feeds.other)]
    async with listening(killed.url, headers, heard):
        await heard.until("changes", 3)
        killed.kill()
        await wait_until_async(lambda: heard.ended, what="the stream to end")
    async with listening(stays.url, headers, heard):
        await feeds.relays(stays)
        await heard.until("changes", len(heard.of("changes")) + 3)
        stop.set()
        await asyncio.gather(*through)
        await shelter.all_said()
        fresh = Listener()
        async with listening(stays.url, headers, fresh):
            await _agrees(shelter, fresh, units)
        await _agrees(shelter, heard, units)
    assert heard.known == fresh.known
    assert _set_back(heard) == []
    assert heard.names().count("snapshot") == 1
    assert "reset" not in heard.names()
    assert _overtaken(await shelter.values(AVAILABILITY)) == []
    async with listening(stays.url, headers, heard):
        await killed.start()  # as its supervisor would
    async with listening(killed.url, headers, heard):
        await shelter.hold(units[0])
        await heard.knows(units[0], held=1)
    assert heard.names().count("snapshot") == 1
    assert feeds.relaying() == [stays]


async def test_what_a_killed_relay_had_sent_and_the_next_sends_again_is_told_once(feeds: TwoFeeds) -> None:
    """As one that is killed between the log's answer and its database: its rows are still there for the next."""
    shelter, heard = feeds.shelter, Listener()
    unit = await shelter.unit(3, area="Canary Street")
    hidden = {"confidential": True, "shown": "yes_no", "hold_policy": "request", "phone": "555 0100"}
    assert (await shelter.patch(SHELTER, f"/units/{unit}", **hidden)).status_code == 200
    sent = [value for value in await shelter.values(AVAILABILITY) if _SAID.decode(value).data.unit_id == unit]
    assert len(sent) == 2
    async with listening(feeds.other.url, shelter.headers(OUTREACH), heard):
        await heard.knows(unit, confidential=True)
        heard.events.clear()
        async with AIOKafkaProducer(bootstrap_servers=shelter.bootstrap, acks="all") as producer:
            for number, value in enumerate(sent):
                await producer.send_and_wait(AVAILABILITY, value, unit.encode())
                await say(producer, said_unit(f"after-{number}"))
                await heard.knows(f"after-{number}")
    told = [each for frame in heard.of("changes") for each in frame["items"]]
    assert {each["unit_id"] for each in told} == {"after-0", "after-1"}
    assert heard.known[unit]["confidential"]


async def test_two_sweeps_end_each_hold_once(feeds: TwoFeeds) -> None:
    shelter = feeds.shelter
    units = [await shelter.unit(1) for _ in range(SWEPT)]
    for _ in range(2):
        holds = {(await shelter.hold(unit))["id"] for unit in units}
        shelter.sql("UPDATE holds SET expires_at = now() WHERE ended_at IS NULL")
        await wait_until_async(lambda: _live(shelter) == 0, what="all holds to end")
        values = await shelter.values(HOLDS)
        assert double_holders(values) == []
        expired = Counter(step.data.hold_id for step in map(_STEP.decode, values) if isinstance(step, HoldExpired))
        assert {hold: expired[hold] for hold in holds} == dict.fromkeys(holds, 1)
    said = Counter(each.unit_id for each in (_SAID.decode(value).data for value in await shelter.values(AVAILABILITY)))
    assert {said[unit] for unit in units} == {1 + 2 * 2}


async def _changing(shelter: Shelter, url: str, units: list[str], stop: asyncio.Event) -> None:
    """Count the units' beds through one process until told to stop, or until it is gone."""
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as http:
        for number in range(1, 1_000_000):
            if stop.is_set():
                return
            said = {"available": number % BEDS, "as_of": datetime.now(UTC).isoformat()}
            path = f"/units/{units[number % UNITS]}/census"
            try:
                answer = await http.put(path, json=said, headers=shelter.headers(SHELTER))
            except httpx.TransportError:
                return
            assert answer.status_code in {200, 409}, answer.text  # 409: the other's count is younger


async def _agrees(shelter: Shelter, heard: Listener, units: list[str]) -> None:
    """Wait until a reader knows what the tables say was said last of these units."""

    async def same() -> bool:
        listed: list[dict[str, Any]] = (await shelter.get(OUTREACH, "/availability", limit="200")).json()["items"]
        said = {each["unit_id"]: each for each in listed}
        return all(heard.known[unit] == said[unit] for unit in units)

    await wait_until_async(same, what="the feed to agree with the tables")


def _overtaken(values: list[bytes]) -> list[tuple[str, int, int]]:
    """Units of which an older value stands after a newer one was there for the first time: (unit, newest, then)."""
    newest: dict[str, int] = {}
    seen: set[tuple[str, int]] = set()
    found = []
    for unit in (_SAID.decode(value).data for value in values):
        if unit.version < newest.get(unit.unit_id, 0) and (unit.unit_id, unit.version) not in seen:
            found.append((unit.unit_id, newest[unit.unit_id], unit.version))
        seen.add((unit.unit_id, unit.version))
        newest[unit.unit_id] = max(newest.get(unit.unit_id, 0), unit.version)
    return found


def _set_back(heard: Listener) -> list[tuple[str, int, int]]:
    """Units of which a reader was told an older value after a newer one."""
    newest: dict[str, int] = {}
    found = []
    for unit in (each for frame in heard.of("snapshot") + heard.of("changes") for each in frame["items"]):
        if unit["version"] < newest.get(unit["unit_id"], 0):
            found.append((unit["unit_id"], newest[unit["unit_id"]], unit["version"]))
        newest[unit["unit_id"]] = unit["version"]
    return found


def _live(shelter: Shelter) -> int:
    [(number,)] = shelter.sql("SELECT count(*) FROM holds WHERE ended_at IS NULL")
    return int(number)
