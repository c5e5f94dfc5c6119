"""Signing in to the board: who comes in, for how long, and what a failure of governance never widens."""

import re
import time
from collections.abc import AsyncIterator
from http.cookies import SimpleCookie

import pytest
import pytest_asyncio
from starlette.responses import Response

from services.kit.auth import Principal, Scope
from services.kit.keys import generate
from services.shelter_beds.board.credentials import AWAY_SECONDS
from services.shelter_beds.board.session import Seal, Session
from services.shelter_beds.board.sessions import CookieSessions
from tests.conftest import Databases
from tests.support.board import CSRF, Board, running_board
from tests.support.shelter import OUTREACH

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def board(postgres: Databases) -> AsyncIterator[Board]:
    async with running_board(postgres.create_database("shelter_beds")) as found:
        yield found


@pytest.fixture(autouse=True)
def as_it_was(board: Board) -> None:
    board.others.ahead = 0
    board.others.down.clear()


async def test_whoever_has_not_signed_in_is_led_there_and_back(board: Board) -> None:
    credential = board.others.credential(OUTREACH)
    async with board.browser() as browser:
        led = await browser.get("/board", open="true")
        assert (led.status_code, led.headers["location"]) == (303, "/sign-in?next=%2Fboard%3Fopen%3Dtrue")
        form = await browser.get(led.headers["location"])
        assert 'value="/board?open=true"' in form.text
        signed_in = await browser.sign_in(credential, next="/board?open=true")
        assert (signed_in.status_code, signed_in.headers["location"]) == (303, "/board?open=true")
        cookie = SimpleCookie(signed_in.headers["set-cookie"])["threshold"]
        assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")
        assert 12 * 3600 - 5 < int(cookie["max-age"]) <= 12 * 3600
        assert credential["client_secret"] not in str(signed_in.headers)
        assert (await browser.get("/board")).status_code == 200


async def test_over_tls_the_cookie_goes_over_nothing_else(board: Board) -> None:
    sessions = board.shelter.app.state.sessions
    seal, principal = Seal.of(generate()), Principal("a-client", OUTREACH, frozenset())
    strict, answer = CookieSessions(seal, sessions.credentials, time.time, secure=True), Response()
    strict.write(answer.headers, Session.begun(principal, "a-secret", time.time()))
    [cookie] = SimpleCookie(answer.headers["set-cookie"]).values()
    assert (cookie.key, bool(cookie["secure"]), cookie["path"], cookie["domain"]) == ("__Host-threshold", True, "/", "")


async def test_a_session_reads_the_api_and_writes_nothing_there(board: Board) -> None:
    async with board.visitor(OUTREACH, frozenset({Scope.BEDS_READ, Scope.HOLDS_WRITE})) as browser:
        read = await browser.get("/availability")
        assert (read.status_code, read.headers["cache-control"]) == (200, "no-store")
        refused = await browser.http.post("/holds", json={"unit_id": "any", "minutes": 5})
        assert (refused.status_code, refused.json()["type"]) == (401, "/problems/unauthenticated")
    async with board.visitor("others", frozenset({Scope.HOLDS_WRITE})) as browser:
        assert (await browser.get("/availability")).status_code == 403
        page = await browser.get("/board")
        assert (page.status_code, "credential does not allow this" in page.text) == (403, True)


async def test_signing_out_needs_a_form_of_ours(board: Board) -> None:
    async with board.visitor(OUTREACH) as browser:
        assert (await browser.http.post("/sign-out", data={"csrf": "guessed"})).status_code == 403
        assert (await browser.get("/board")).status_code == 200
        assert (await browser.post("/sign-out")).headers["location"] == "/sign-in"
        assert (await browser.get("/board")).status_code == 303


@pytest.mark.parametrize("away", [set(), {"governance"}])
async def test_signing_out_ends_a_session_that_has_to_be_verified_again(board: Board, away: set[str]) -> None:
    async with board.visitor(OUTREACH) as browser:
        form = CSRF.search((await browser.get("/board/desk")).text)
        assert form is not None
        board.others.ahead = 601
        board.others.down |= away
        out = await browser.http.post("/sign-out", data={"csrf": form[1]})
        assert (out.status_code, len(out.headers.get_list("set-cookie"))) == (303, 1)
        assert "threshold" not in browser.http.cookies


async def test_what_is_refused_is_said_in_words(board: Board) -> None:
    credential = board.others.credential(OUTREACH)
    async with board.browser(**{"accept-language": "es-US,es;q=0.9"}) as browser:
        wrong = await browser.sign_in(credential | {"client_secret": "wrong"})
        assert (wrong.status_code, "no son correctos" in wrong.text) == (401, True)
        assert "wrong" not in wrong.text
        assert f'value="{credential["client_id"]}"' in wrong.text
        administrator = await browser.sign_in(board.others.credential(None))
        assert (administrator.status_code, "ninguna organización" in administrator.text) == (403, True)
        unchecked = await browser.http.post("/sign-in", data=credential | {"check": "another"})
        assert (unchecked.status_code, "threshold" in unchecked.cookies) == (200, False)
        board.others.down.add("governance")
        assert (await browser.sign_in(credential)).status_code == 503


async def test_a_cookie_that_we_did_not_make_is_not_sent_back(board: Board) -> None:
    async with board.browser(cookie=r'sign-in="x\073 Domain=evil.example\073 a=b"') as browser:
        form = await browser.http.get("/sign-in")
        assert "evil" not in form.text + str(form.headers)
        made = SimpleCookie(form.headers["set-cookie"])["sign-in"].value
        assert f'name="check" value="{made}"' in form.text
        kept = await browser.http.get("/sign-in", headers={"cookie": f"sign-in={made}"})
        assert SimpleCookie(kept.headers["set-cookie"])["sign-in"].value == made


async def test_secrets_can_t_be_tried_without_end(board: Board) -> None:
    credential = board.others.credential("a-target")
    async with board.browser() as browser:
        tried = [(await browser.sign_in(credential | {"client_secret": f"{n}"})).status_code for n in range(12)]
        assert tried == [401] * 10 + [429] * 2
        assert (await browser.sign_in(credential)).status_code == 429
        board.others.ahead = 301
        assert (await browser.sign_in(credential)).status_code == 303


async def test_a_credential_is_verified_again_every_ten_minutes(board: Board) -> None:
    async with board.visitor(OUTREACH) as browser:
        asked = board.others.asked
        await browser.get("/board")
        assert board.others.asked == asked
        board.others.ahead = 601
        renewed = await browser.get("/availability")
        assert (renewed.status_code, board.others.asked) == (200, asked + 1)
        assert "threshold=" in renewed.headers["set-cookie"]
        await browser.get("/board")
        assert board.others.asked == asked + 1
        board.others.ahead = 12 * 3600 + 1
        assert (await browser.get("/board")).status_code == 303


async def test_a_credential_that_was_taken_away_ends_within_ten_minutes(board: Board) -> None:
    async with board.visitor("revoked", frozenset({Scope.BEDS_READ})) as browser:
        del board.others.secrets["revoked-laptop", "secret-of-revoked-laptop"]
        assert (await browser.get("/board")).status_code == 200
        board.others.ahead = 601
        assert (await browser.get("/availability")).status_code == 401
        assert "threshold" not in browser.http.cookies
        assert (await browser.get("/board")).status_code == 303


async def test_scopes_that_were_taken_away_end_within_ten_minutes(board: Board) -> None:
    async with board.visitor("narrowed") as browser:
        board.others.credential("narrowed", frozenset({Scope.BEDS_READ}))
        board.others.ahead = 601
        assert (await browser.get("/board/desk")).status_code == 403
        assert (await browser.get("/board")).status_code == 200


async def test_while_governance_is_away_the_board_is_read_for_an_hour_and_nothing_is_written(board: Board) -> None:
    unit = await board.shelter.unit(2)
    async with board.visitor(OUTREACH) as browser:
        board.others.down.add("governance")
        assert (await browser.post(f"/board/units/{unit}/hold", beds="1", minutes="30")).status_code == 303
        board.others.ahead = 601
        assert (await browser.get("/board")).status_code == 200
        refused = await browser.post(f"/board/units/{unit}/hold", beds="1", minutes="30")
        assert (refused.status_code, "Nothing was changed" in refused.text) == (503, True)
        board.others.ahead = 3601
        assert (await browser.get("/board")).status_code == 503
        assert (await browser.get("/availability")).status_code == 503
        board.others.down.clear()
        board.others.ahead += AWAY_SECONDS
        assert (await browser.get("/board")).status_code == 200
    board.others.ahead = 0
    assert await board.shelter.counts(unit) == (1, 1, 0, 0)


async def test_pages_let_nothing_in_from_elsewhere(board: Board) -> None:
    async with board.visitor(OUTREACH) as browser:
        for path in ("/board", "/board?view=wall", "/board/desk", "/sign-in", "/board/holds/none"):
            answer = await browser.get(path)
            assert "default-src 'none'; script-src 'self'" in answer.headers["content-security-policy"]
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert "<script>" not in answer.text
            assert " style=" not in answer.text
            assert "://" not in answer.text
        style = await browser.get("/static/board.css")
        assert (style.status_code, style.headers["content-type"]) == (200, "text/css; charset=utf-8")
        assert (await browser.get("/static/app.py")).status_code == 404


async def test_only_what_its_address_names_by_its_hash_is_kept_for_ever(board: Board) -> None:
    async with board.browser() as browser:
        named = re.findall(r'"(/static/[^"]+)"', (await browser.get("/sign-in")).text)
        assert named
        for address in named:
            assert "immutable" in (await browser.http.get(address)).headers["cache-control"]
        for address in ("/static/ticking.js", "/static/live.js?v=000000000000"):
            assert (await browser.http.get(address)).headers["cache-control"] == "no-cache"
