"""Referring from a hold when something is amiss: nothing that was typed is lost, and nobody is referred twice."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
import pytest_asyncio
from pydantic import SecretStr

from services.kit.database import Database
from services.kit.problems import Fault, Problem
from services.shelter_beds.board.contacts import FRESH_SECONDS, Contacts
from services.shelter_beds.board.credentials import AWAY_SECONDS
from tests.conftest import Databases
from tests.support.board import CONTACTS, REFERRED, Board, Browser, held, running_board
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
def later(board: Board, seconds: float) -> Iterator[None]:
    board.others.ahead += seconds
    yield
    board.others.ahead = 0


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
    once = ONCE.findall((await navigator.get(address)).text)
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
    page = (await navigator.get(address)).text
    state, own = board.shelter.app.state, board.shelter.app.state.database
    state.database = Database(SecretStr("postgresql+psycopg://nobody@/nothing?host=/nowhere"))
    away = await navigator.http.post(f"{address}/refer", data=dict(HIDDEN.findall(page)) | REFERRED)
    state.database = own
    assert (away.status_code, "not known whether the referral was sent" in away.text) == (503, True)
    kept = dict(HIDDEN.findall(away.text.split("<main")[1]))
    assert kept == dict(HIDDEN.findall(page.split("<main")[1])) | REFERRED | {"accessible": ""}
    assert "<dd>Canary-Rosa</dd>" in away.text, "nobody sends what they don't see"
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


@pytest.mark.parametrize("seconds", [601, 3601])
async def test_while_the_session_can_t_be_verified_again_what_was_typed_is_kept(board: Board, seconds: float) -> None:
    async with board.visitor(OUTREACH) as navigator:
        _, address = await held(board, navigator)
        page = dict(HIDDEN.findall((await navigator.get(address)).text))
        before = len(board.others.referred)
        with later(board, seconds):
            kept = {"accessible": ""} | page | REFERRED
            for path in ("refer", "extension"):
                with others_are_down(board):
                    away = await navigator.http.post(f"{address}/{path}", data=page | REFERRED)
                assert (away.status_code, "sign-in could not be checked" in away.text) == (503, True), path
                assert dict(HIDDEN.findall(away.text.split("<main")[1])) == kept
            board.others.ahead += AWAY_SECONDS
            assert (await navigator.http.post(f"{address}/refer", data=kept)).headers["location"] == address
    assert len(board.others.referred) == before + 1


async def test_a_form_that_is_too_old_comes_again_with_what_was_typed(board: Board, navigator: Browser) -> None:
    _, address = await held(board, navigator)
    before = len(board.others.referred)
    old = await navigator.http.post(f"{address}/refer", data={"csrf": "of another session"} | REFERRED)
    assert (old.status_code, "too old, so nothing was sent" in old.text) == (403, True)
    assert "<dd>Canary-Rosa</dd>" in old.text
    assert len(board.others.referred) == before
    kept = dict(HIDDEN.findall(old.text.split("<main")[1]))
    assert (await navigator.http.post(f"{address}/refer", data=kept)).headers["location"] == address
    assert len(board.others.referred) == before + 1
    bare = await navigator.http.post(f"{address}/cancel", data={"csrf": "of another session"})
    assert (bare.status_code, "Go back, load it again" in bare.text) == (403, True)
    assert (await navigator.post(f"{address}/refer")).status_code == 422, "that has none of the form's fields"


async def test_whoever_extends_a_hold_keeps_what_they_typed(board: Board, navigator: Browser) -> None:
    _, address = await held(board, navigator)
    for status, said in ((200, ">Say this code at the door"), (409, "extended only once")):
        answer = await navigator.post(f"{address}/extension", **REFERRED, once="once-1")
        assert f"{address}/extension" not in answer.text
        assert (answer.status_code, said in answer.text) == (status, True)
        assert 'value="Canary-Rosa"' in answer.text
        assert ONCE.findall(answer.text) == ["once-1"]
        assert not re.search(r'id="next" data-state', answer.text), "then its script may take the form away"


async def test_whom_a_hold_with_a_referral_is_not_for_is_not_dropped_in_silence(
    board: Board, navigator: Browser
) -> None:
    _, address = await held(board, navigator)
    sent = await navigator.post(f"{address}/refer", **REFERRED, once="the first press")
    assert sent.headers["location"] == address
    before = len(board.others.referred)
    for path in ("refer", "extension"):
        again = await navigator.post(f"{address}/{path}", **REFERRED, once="the first press")
        assert "already for another referral" not in again.text, "the same press is no second one"
        assert 'value="Canary-Rosa"' not in again.text
    other = await navigator.post(f"{address}/refer", **REFERRED | {"first_name": "Canary-Ruth"})
    assert (other.status_code, "already for another referral" in other.text) == (409, True)
    kept = await navigator.post(f"{address}/extension", **REFERRED | {"first_name": "Canary-Ruth"})
    for page in (other, kept):
        assert 'value="Canary-Ruth"' in page.text
        assert "What the shelter has" in page.text, "of the one that was sent"
    assert len(board.others.referred) == before


async def test_a_size_that_no_household_has_is_refused_like_any_other(board: Board, navigator: Browser) -> None:
    unit, address = await held(board, navigator)
    for size in ("9" * 20, "9" * 5000):
        await navigator.post(f"{address}/refer", **REFERRED | {"household_size": size}, once=f"{unit}{len(size)}")
        assert board.others.referred[-1]["need"]["household_size"] == size, (
            "what is no number of people is left as it is"
        )
        placed = await navigator.post(f"/board/units/{unit}/hold", beds=size, minutes=size)
        assert placed.status_code == 422
        assert (await navigator.get(f"/board/units/{unit}/hold", beds=size)).status_code == 200
        assert (await navigator.get("/board", beds=size, age=size, project_type=size)).status_code == 200
        _, address = await held(board, navigator)


async def test_a_form_of_no_hold_that_is_too_old_says_so(board: Board, navigator: Browser) -> None:
    unit = await board.shelter.unit(1)
    old = await navigator.http.post(f"/board/units/{unit}/hold", data={"csrf": "of another session"} | REFERRED)
    assert (old.status_code, "Go back, load it again" in old.text) == (403, True)


async def test_where_a_confidential_unit_is_nobody_learns_by_asking(board: Board, navigator: Browser) -> None:
    """A referral names its unit's project to whoever sent it."""
    hidden = {"confidential": True, "shown": "yes_no", "phone": "555 0100"}
    unit, address = await held(board, navigator, **hidden)
    assert "Send the referral" not in (await navigator.get(address)).text
    before = len(board.others.referred)
    early = await navigator.post(f"{address}/refer", **REFERRED, once=unit)
    assert (early.status_code, "has not answered yet, so nothing was sent" in early.text) == (409, True)
    assert 'value="Canary-Rosa"' in early.text
    assert len(board.others.referred) == before
    hold = {"id": address.rsplit("/", 1)[1]}
    assert (await board.shelter.answer(hold, accept=True)).status_code == 200
    assert "Send the referral" in (await navigator.get(address)).text
    assert (await navigator.post(f"{address}/refer", **REFERRED, once=unit)).headers["location"] == address
    _, address = await held(board, navigator, **hidden)
    await navigator.post(f"{address}/cancel")
    assert (await navigator.post(f"{address}/refer", **REFERRED)).status_code == 409, "nor after it ended"
    _, known = await held(board, navigator, hold_policy="request")
    assert "Send the referral" in (await navigator.get(known)).text


async def test_what_was_typed_stays_though_the_hold_has_ended(board: Board, navigator: Browser) -> None:
    _, address = await held(board, navigator)
    await navigator.post(f"{address}/cancel")
    assert "client_id" not in (await navigator.get(address)).text
    board.others.refusing = Problem("unknown-contact", faults=[Fault("call_back", "")])
    refused = await navigator.post(f"{address}/refer", **REFERRED)
    board.others.refusing = None
    assert refused.status_code == 422
    for said in ("You gave the beds back", 'id="fault-call_back"', 'value="Canary-Rosa"'):
        assert said in refused.text


async def test_a_hold_s_page_needs_governance_neither_often_nor_at_all(board: Board, navigator: Browser) -> None:
    _, address = await held(board, navigator)
    state, others = board.shelter.app.state, board.others
    state.contacts = Contacts(others.clock)
    before = others.contacts_asked
    others.hung.add("governance")
    async with asyncio.timeout(10):
        pages = [(await navigator.get(address)).text for _ in range(3)]
    others.hung.clear()
    assert all("contacts can&#39;t be read" in page and "Send the referral" in page for page in pages)
    assert others.unanswered == 1, "whoever looks again does not wait again"
    with later(board, FRESH_SECONDS):
        pages = [(await navigator.get(address)).text for _ in range(3)]
        assert all("Night team" in page for page in pages)
        assert others.contacts_asked == before + 1
        others.ahead += FRESH_SECONDS
        with others_are_down(board):
            assert "Night team" in (await navigator.get(address)).text
        others.ahead += FRESH_SECONDS
        others.contacts = []
        assert "has no contact yet" in (await navigator.get(address)).text
        others.contacts = CONTACTS
        assert "Night team" in (await navigator.get(address)).text, "who has none adds one, and looks again"


async def test_contacts_are_asked_for_once_and_kept_when_governance_refuses(board: Board, navigator: Browser) -> None:
    _, address = await held(board, navigator)
    state, others = board.shelter.app.state, board.others
    state.contacts = Contacts(others.clock)
    await board.settled()
    before = others.unanswered
    others.hung.add("governance")
    await asyncio.gather(*(navigator.http.get(address) for _ in range(5)))
    others.hung.clear()
    assert others.unanswered == before + 1, "nobody asks beside whoever waits for the answer"
    state.contacts = Contacts(others.clock)
    assert "Night team" in (await navigator.get(address)).text
    with later(board, FRESH_SECONDS):
        others.refusing_contacts = Problem("insufficient-scope")
        assert "Night team" in (await navigator.get(address)).text
        others.refusing_contacts = None


async def test_that_the_shelter_was_asked_again_or_does_not_take_it_is_said_while_it_matters(
    board: Board, navigator: Browser
) -> None:
    _, address = await held(board, navigator)
    await board.shelter.patch(OUTREACH, address.removeprefix("/board"), referral_id="referral-a")
    board.others.nudged_at = "2026-11-26T08:40:00Z"
    board.others.crossing = {"delivery": "failed"}
    shown = plain((await navigator.get(address)).text)
    assert "need; their system did not take it yet, it is tried again; not answered yet; asked again 08:40 " in shown
    board.others.crossing = {"delivery": "given_up"}
    assert "; su sistema no lo recibió, llámelos; " in plain((await navigator.get(address, lang="es")).text)
    for status, said in (("expired", "expired"), ("entered_in_error", "made by mistake")):
        board.others.status = status
        shown = plain((await navigator.get(address, lang="en")).text)
        assert f"; {said} " in shown
        assert "asked again" not in shown


def plain(page: str) -> str:
    """The text of a page, with its white space as one sees it."""
    return re.sub(r"\s+", " ", re.sub(r"\s*;", ";", re.sub(r"<[^>]*>", "", page)))
