"""Whoever waits for a unit's lock keeps no database connection: however many want its beds, others are answered."""

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import httpx
import psycopg
import pytest
import pytest_asyncio

from services.kit.database import POOL_OVERFLOW, POOL_SIZE
from services.kit.direct import CONNECT_SECONDS
from services.shelter_beds.turns import Turns
from tests.conftest import Databases
from tests.support.board import CSRF, Board, running_board
from tests.support.governance import is_problem
from tests.support.shelter import OTHER, OUTREACH, SHELTER, Shelter
from tests.support.tables import direct
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.asyncio(loop_scope="module")
TAKERS = 4 * (POOL_SIZE + POOL_OVERFLOW)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def board(postgres: Databases) -> AsyncIterator[Board]:
    async with running_board(postgres.create_database("shelter_beds")) as found:
        yield found


@contextmanager
def locked(shelter: Shelter, unit: str) -> Iterator[None]:
    """Somebody else, of another process, is busy with a unit."""
    with direct(shelter.settings.database_url) as connection, connection.transaction():
        connection.execute("SELECT 1 FROM units WHERE id = %s FOR UPDATE", [unit])
        yield


def waiting(shelter: Shelter) -> int:
    """How many connections wait for a lock."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    [(count,)] = shelter.sql(query)
    return int(count)


async def test_while_many_wait_for_one_unit_everybody_else_is_answered(board: Board) -> None:
    """Each had kept one of ten connections: the eleventh, and whoever wanted anything else, was told 503."""
    shelter = board.shelter
    unit, other = await shelter.unit(3, max_open_holds=100), await shelter.unit(1)
    async with board.visitor(OTHER) as browser:
        page = (await browser.get(f"/board/units/{unit}/hold")).text
        csrf = CSRF.search(page)
        assert csrf is not None
        form = {"csrf": csrf[1], "beds": "1", "minutes": "30"}

        def take(number: int) -> "asyncio.Task[httpx.Response]":
            if number % 2:
                return asyncio.create_task(browser.http.post(f"/board/units/{unit}/hold", data=form))
            body = {"unit_id": unit, "minutes": 30}
            return asyncio.create_task(shelter.post(f"taker-{number}", "/holds", body, key=f"{unit}-{number}"))

        with locked(shelter, unit):
            taking = [take(number) for number in range(TAKERS)]
            await wait_until_async(lambda: waiting(shelter) > 0, what="one to wait for the row")
            async with asyncio.timeout(CONNECT_SECONDS):  # in which who gets no connection is refused
                assert (await shelter.get(SHELTER, f"/units/{other}")).status_code == 200
                await shelter.hold(other)
                # And whoever can be refused without the row still is.
                long = {"unit_id": unit, "minutes": 1440}
                is_problem(await shelter.post(OUTREACH, "/holds", long), 422, "invalid-body", "minutes")
            assert waiting(shelter) == 1
            assert not any(task.done() for task in taking)
        answers = Counter(answer.status_code for answer in await asyncio.gather(*taking))
    assert answers[201] + answers[303] == 3
    assert answers[409] == TAKERS - 3
    assert await shelter.counts(unit) == (0, 3, 0, 0)


async def test_a_request_sent_twice_while_the_unit_is_busy_is_done_once(board: Board) -> None:
    shelter = board.shelter
    unit = await shelter.unit(2)
    body = {"unit_id": unit, "minutes": 30}
    with locked(shelter, unit):
        twice = [asyncio.create_task(shelter.post(OUTREACH, "/holds", body, key="twice")) for _ in range(2)]
        await wait_until_async(lambda: waiting(shelter) > 0, what="one to wait for the row")
    first, second = await asyncio.gather(*twice)
    assert first.json() == second.json()
    assert await shelter.counts(unit) == (1, 1, 0, 0)


async def test_one_at_a_time_of_one_unit_and_others_do_not_wait() -> None:
    turns, came = Turns(), list[str]()

    async def come(unit: str, name: str) -> None:
        async with turns.turn(unit):
            came.append(name)

    async with turns.turn("harbor"):
        second = asyncio.create_task(come("harbor", "second"))
        gone = asyncio.create_task(come("harbor", "gone"))
        third = asyncio.create_task(come("harbor", "third"))
        await come("lantern", "elsewhere")
        gone.cancel()
        assert came == ["elsewhere"]
    await asyncio.gather(second, third)
    assert (came, gone.cancelled()) == (["elsewhere", "second", "third"], True)


async def test_who_waits_in_vain_is_told_so() -> None:
    turns = Turns(seconds=0.01)
    async with turns.turn("harbor"):
        with pytest.raises(psycopg.OperationalError):
            async with turns.turn("harbor"):
                pytest.fail("two at a time")
    async with turns.turn("harbor"):
        pass


async def test_a_unit_that_nobody_wants_any_more_is_forgotten() -> None:
    turns = Turns()

    async def come() -> None:
        async with turns.turn("harbor"):
            assert len(turns._locks) == 1

    await asyncio.gather(*(come() for _ in range(3)))
    gc.collect()
    assert len(turns._locks) == 0
