"""Referring from a hold when an answer is lost: nothing typed is lost with it, and nobody is referred twice."""

import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
import pytest_asyncio
from pydantic import SecretStr

from services.kit.database import Database
from tests.conftest import Databases
from tests.support.board import REFERRED, Board, Browser, held, running_board
from tests.support.shelter import OUTREACH

pytestmark = pytest.mark.asyncio(loop_scope="module")
HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)"')
ONCE = re.compile(r'name="once" value="([^"]+)"')


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def board(postgres: Databases) -> AsyncIterator[Board]:
    async with running_board(postgres.create_database("shelter_beds")) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def navigator(board: Board) -> AsyncIterator[Browser]:
    async with board.visitor(OUTREACH) as browser:
        yield browser


@contextmanager
def others_are_down(board: Board) -> Iterator[None]:
    board.others.down |= {"referrals", "governance"}
    yield
    board.others.down.clear()


@contextmanager
def an_answer_is_lost(board: Board) -> Iterator[None]:
    board.others.deaf.add("referrals")
    yield
    board.others.deaf.clear()


@contextmanager
def the_hold_s_database_is_away(board: Board) -> Iterator[None]:
    """The server ends the connection on which the hold is to note its referral."""
    board.shelter.sql(
        "CREATE FUNCTION hang_up() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END'"
    )
    board.shelter.sql("CREATE TRIGGER away BEFORE UPDATE OF referral_id ON holds EXECUTE FUNCTION hang_up()")
    yield
    board.shelter.sql("DROP FUNCTION hang_up CASCADE")


@pytest.mark.parametrize("trouble", [others_are_down, an_answer_is_lost, the_hold_s_database_is_away])
async def test_a_referral_that_may_have_been_sent_is_sent_again_without_harm(
    board: Board, navigator: Browser, trouble: Callable[[Board], AbstractContextManager[None]]
) -> None:
    _, address = await held(board, navigator)
    before = len(board.others.referred)
    once = ONCE.findall((await navigator.get(f"{address}/refer")).text)
    with trouble(board):
        unknown = await navigator.post(f"{address}/refer", **REFERRED, once=once[0])
    assert (unknown.status_code, "not known whether the referral was sent" in unknown.text) == (503, True)
    assert "Nothing was changed" not in unknown.text
    assert ONCE.findall(unknown.text) == once
    for typed in ('value="Canary-Rosa"', 'value="1988-04-17"', '<option value="night-team" selected', "checked"):
        assert typed in unknown.text
    assert (await navigator.post(f"{address}/refer", **REFERRED, once=once[0])).headers["location"] == address
    assert len(board.others.referred) == before + 1


async def test_while_a_hold_can_t_be_read_what_was_typed_is_kept(board: Board, navigator: Browser) -> None:
    _, address = await held(board, navigator)
    page = (await navigator.get(f"{address}/refer")).text
    state, own = board.shelter.app.state, board.shelter.app.state.database
    state.database = Database(SecretStr("postgresql+psycopg://nobody@/nothing?host=/nowhere"))
    away = await navigator.http.post(f"{address}/refer", data=dict(HIDDEN.findall(page)) | REFERRED)
    state.database = own
    assert (away.status_code, "not known whether the referral was sent" in away.text) == (503, True)
    kept = dict(HIDDEN.findall(away.text.split("<main")[1]))
    assert kept == dict(HIDDEN.findall(page.split("<main")[1])) | REFERRED | {"accessible": ""}
    assert (await navigator.http.post(f"{address}/refer", data=kept)).headers["location"] == address
    assert board.others.referred[-1]["members"][0]["client_id"] == REFERRED["client_id"]


async def test_a_form_that_was_sent_with_other_values_says_so(board: Board, navigator: Browser) -> None:
    unit, address = await held(board, navigator)
    again = await navigator.post(f"/board/units/{unit}/hold", beds="1", minutes="30", once=unit)
    assert (again.status_code, "sent this form before, with other values" in again.text) == (422, True)
    with an_answer_is_lost(board):
        await navigator.post(f"{address}/refer", **REFERRED, once=unit)
    other = await navigator.post(f"{address}/refer", **REFERRED | {"first_name": "Rosa"}, once=unit)
    assert (other.status_code, "sent this form before, with other values" in other.text) == (422, True)
    assert ONCE.findall(other.text) != [unit]
