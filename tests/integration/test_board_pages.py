"""The board's pages without JavaScript: find, hold and refer."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from pydantic import SecretStr

from services.kit.auth import Scope
from services.kit.database import Database
from services.kit.problems import Fault, Problem
from tests.conftest import Databases
from tests.support.board import CLIENT, REFERRED, Board, Browser, held, running_board
from tests.support.governance import is_problem
from tests.support.shelter import OTHER, OUTREACH, SHELTER

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def board(postgres: Databases) -> AsyncIterator[Board]:
    async with running_board(postgres.create_database("shelter_beds")) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def navigator(board: Board) -> AsyncIterator[Browser]:
    board.others.refusing, board.others.crossing = None, {}
    async with board.visitor(OUTREACH) as browser:
        yield browser


def card(page: str, unit: str) -> str:
    """A unit's card as it stands in a page."""
    found = re.search(rf'<li class="unit [a-z_]+" id="unit-{unit}".*?</article>\s*</li>', page, re.DOTALL)
    return found[0] if found else ""


async def test_what_a_navigator_must_know_stands_on_the_card(board: Board, navigator: Browser) -> None:
    unit = await board.shelter.unit(
        7, name="Card <b>House", household_type="with_children", area="Uptown", phone="+1 555 0100", minimum_age=18,
        maximum_age=64, gender_policy="women_and_children", veterans_only=True, couples=True, accessible=True,
        pets=True, low_barrier=True, bring=["photo_id", "tb_test"], intake_from="17:00",
        intake_until="21:00", last_in="22:30", eligibility="Ask at the side door.", time_zone="America/Chicago",
    )  # fmt: skip
    shown = card((await navigator.get("/board")).text, unit)
    for said in (
        "<b>7</b>", "Card &lt;b&gt;House", "Families with children", "Ages 18 to 64", "Women and children",
        "Veterans only", "Couples", "Accessible", "Pets", "Low barrier", 'href="tel:+15550100"', "Uptown",
        "Intake 17:00 to 21:00", "last in 22:30", "photo ID, TB test", "reported just now", "holds up to 60 min",
        "Ask at the side door.",
        f'href="/board/units/{unit}/hold"', "Beds free",
    ):  # fmt: skip
        assert said in shown, said
    spanish = card((await navigator.get("/board", lang="es")).text, unit)
    for said in ("Familias con niños", "De 18 a 64 años", "Hay camas", "reportado ahora mismo", "Apartar"):
        assert said in spanish, said
    assert '<html lang="es">' in (await navigator.get("/board")).text  # the browser keeps the language


async def test_a_place_that_is_confidential_shows_yes_or_no_and_a_number_to_call(
    board: Board, navigator: Browser
) -> None:
    said = {"name": "Canary House", "area": "Canary Street", "phone": "+1 800 555 0101", "shown": "yes_no"}
    unit = await board.shelter.unit(3, confidential=True, bring=["bedding"], last_in="22:00", **said)
    shown = card((await navigator.get("/board")).text, unit)
    assert "Canary" not in shown
    assert "22:00" not in shown
    assert "tel:+18005550101" in shown
    assert re.search(r'<b class="word">\s*Yes', shown)
    assert "of 3 beds" not in shown
    hold = (await navigator.post(f"/board/units/{unit}/hold", beds="1", minutes="30")).headers["location"]
    for path in (hold, "/board", f"/board/units/{unit}/hold"):
        assert not re.search("Canary|22:00|bedding", (await navigator.get(path)).text), path
    more = (await navigator.post(f"/board/units/{unit}/hold", beds="5", minutes="30")).headers["location"]
    for path in (more, "/board"):  # 2 of them are free, and nobody but the shelter may know
        assert "5 beds" in (await navigator.get(path)).text
        assert "2 beds" not in (await navigator.get(path)).text
    small = await board.shelter.unit(2, shown="call", hold_policy="none", phone="+1 555 0199")
    called = card((await navigator.get("/board")).text, small)
    assert ("Call to ask" in called, "tel:+15550199" in called, "/hold" in called) == (True, True, False)


async def test_filters_are_in_the_address(board: Board, navigator: Browser) -> None:
    area = "Filter Park"
    family = await board.shelter.unit(3, area=area, household_type="with_children", pets=True)
    women = await board.shelter.unit(1, area=area, gender_policy="women", minimum_age=18)

    async def found(**wanted: str) -> set[str]:
        page = (await navigator.get("/board", area=area, **wanted)).text
        return {unit for unit in (family, women) if card(page, unit)}

    assert await found() == {family, women}
    assert await found(household_type="with_children", pets="true") == {family}
    assert await found(gender="men", open="true") == {family}
    assert await found(age="17", gender="") == {family}
    assert await found(beds="2") == {family}
    assert "/hold?beds=2" in (await navigator.get("/board", area=area, beds="2")).text
    nothing = (await navigator.get("/board", area=area, couples="true")).text
    assert "No unit matches these filters" in nothing
    assert 'href="/board">Remove all filters' in nothing
    assert (await navigator.get("/board", age="<script>", area="x" * 900)).status_code == 200


async def test_a_changed_card_is_the_one_that_a_reload_shows(board: Board, navigator: Browser) -> None:
    unit, other = await board.shelter.unit(3), await board.shelter.unit(3)
    for view in ("", "wall"):
        whole = (await navigator.get("/board", view=view)).text
        part = (await navigator.get("/board/cards", unit=unit, view=view)).text
        assert card(part, unit) == card(whole, unit) != ""
        assert card(part, other) == ""
        for once in (r'<p id="summary".*?</p>', *([] if view else [r'<div id="own">.*?</div>'])):
            found = re.search(once, part, re.DOTALL)
            assert found is not None, once
            assert found[0] in whole


async def test_beds_behind_a_closed_door_are_said_apart(board: Board, navigator: Browser) -> None:
    area, now = "Closed Door", datetime.now(UTC)
    opens, closes = (f"{now + timedelta(hours=hours):%H:00}" for hours in (2, 4))
    await board.shelter.unit(2, area=area, time_zone="UTC")
    await board.shelter.unit(5, area=area, time_zone="UTC", intake_from=opens, intake_until=closes)
    await board.shelter.unit(3, area=area, shown="yes_no")
    summary = plain((await navigator.get("/board", area=area)).text)
    words = "2 of 3 units with room now, 1 of them gives no number · 5 more where intake is closed"
    assert f"2 beds free {words}" in summary


async def test_a_season_closes_on_the_day_after_its_last(board: Board, navigator: Browser) -> None:
    unit = await board.shelter.unit(2, season="seasonal", opens_on="2026-11-01", closes_on="2027-03-31")
    assert "closes Mar 31" in card((await navigator.get("/board")).text, unit)
    assert "cierra el 31 mar" in card((await navigator.get("/board", lang="es")).text, unit)


async def test_find_hold_and_what_the_holder_can_do(board: Board, navigator: Browser) -> None:
    unit, address = await held(board, navigator)
    again = await navigator.post(f"/board/units/{unit}/hold", beds="2", minutes="30", once=unit)
    assert again.headers["location"] == address  # a form that is sent twice holds once
    assert await board.shelter.counts(unit) == (1, 2, 0, 0)
    page = (await navigator.get(address)).text
    code = (await board.shelter.get(OUTREACH, address.removeprefix("/board"))).json()["door_code"]
    assert re.search(rf'<p class="code">{code}</p>', page)
    assert code in (await navigator.get("/board")).text
    assert (await navigator.post(f"{address}/extension")).status_code == 303
    refused = await navigator.post(f"{address}/extension")
    assert (refused.status_code, "extended only once" in refused.text) == (409, True)
    async with board.visitor(OTHER) as stranger:
        assert (await stranger.get(address)).status_code == 404
        assert (await stranger.post(f"{address}/cancel")).status_code == 404
    assert (await navigator.post(f"{address}/cancel")).status_code == 303
    assert "You gave the beds back" in (await navigator.get(address)).text
    assert await board.shelter.counts(unit) == (3, 0, 0, 0)


async def test_a_request_is_no_hold_and_its_page_says_so(board: Board, navigator: Browser) -> None:
    _, address = await held(board, navigator, hold_policy="request")
    page = (await navigator.get(address)).text
    for said in ("has not answered yet", "2 beds asked for, until", "Take the request back"):
        assert said in page
    assert "Give the beds back" not in page
    await navigator.post(f"{address}/cancel")
    assert "You took the request back." in (await navigator.get(address)).text
    unit, address = await held(board, navigator, hold_policy="request")
    board.shelter.sql("UPDATE holds SET expires_at = now() WHERE unit_id = %s", unit)
    assert "The shelter did not answer in time." in (await navigator.get(address)).text


async def test_what_is_wrong_stands_beside_its_field_in_the_visitor_s_language(
    board: Board, navigator: Browser
) -> None:
    unit = await board.shelter.unit(1, max_minutes=45)
    path = f"/board/units/{unit}/hold"
    long = await navigator.post(path, beds="1", minutes="60")
    assert long.status_code == 422
    assert re.search(r'<p class="fault" id="fault-minutes">Choose at most 45 minutes', long.text)
    assert 'aria-describedby="fault-minutes"' in long.text
    await navigator.get("/board", lang="es")
    many = await navigator.post(path, beds="2", minutes="30")
    assert (many.status_code, "Ya no hay tantas camas libres" in many.text) == (409, True)
    assert (await navigator.post("/board/units/nobody/hold", beds="1", minutes="5")).status_code == 404


async def test_refer_crosses_as_the_api_says_and_nothing_typed_stays(board: Board, navigator: Browser) -> None:
    unit, address = await held(board, navigator, project="harbor-beds")
    assert "Night team" in (await navigator.get(address)).text
    sent = await navigator.post(f"{address}/refer", **REFERRED)
    assert (sent.status_code, sent.headers["location"]) == (303, address)
    assert board.others.referred[-1] == {
        "by": OUTREACH,
        "members": [
            {
                "client_id": CLIENT,
                "relationship_to_hoh": 1,
                "segments": {"identity": {"first_name": "Canary-Rosa", "dob": "1988-04-17"}},
            }
        ],
        "to": {"organization": SHELTER, "project": "harbor-beds"},
        "service": "ES",
        "purpose": "shelter-placement",
        "need": {"household_type": "without_children", "household_size": 2, "beds": 2, "pets": True},
        "call_back": "night-team",
    }
    referral = (await board.shelter.get(OUTREACH, address.removeprefix("/board"))).json()["referral_id"]
    assert "on its way: need" in plain((await navigator.get(address)).text)
    board.others.status, board.others.status_at = "accepted", "2026-11-26T08:16:00Z"
    board.others.crossing = {
        "categories": ["identity", "household"], "withheld": {"health": "no-consent"},
        "delivered_at": "2026-11-26T08:14:00Z",
    }  # fmt: skip
    line = "has: identity, household; not sent: health; delivered 08:14; accepted 08:16"
    assert line in plain((await navigator.get(f"/board/referrals/{referral}")).text)
    assert line in plain((await navigator.get(address)).text)
    tables = [str(name) for (name,) in board.shelter.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    kept = " ".join(str(board.shelter.sql(f'SELECT * FROM "{table}"')) for table in tables)  # noqa: S608 - our tables
    assert "Canary-Rosa" not in kept
    assert CLIENT not in kept
    assert unit in kept, "then the search above finds nothing"


async def test_when_a_shelter_accepted_is_said_in_the_time_of_its_place(board: Board, navigator: Browser) -> None:
    _, address = await held(board, navigator, time_zone="America/Chicago")
    await board.shelter.patch(OUTREACH, address.removeprefix("/board"), referral_id="referral-a")
    board.others.status, board.others.status_at = "accepted", "2026-11-26T08:16:00Z"
    assert "; accepted 02:16 " in plain((await navigator.get(address)).text)
    assert "; aceptada 02:16 h " in plain((await navigator.get(address, lang="es")).text)
    board.others.status = "requested"
    assert "; not answered yet " in plain((await navigator.get(address, lang="en")).text)


async def test_who_may_not_refer_is_not_asked_for_whom(board: Board) -> None:
    async with board.visitor(OUTREACH, frozenset({Scope.HOLDS_WRITE, Scope.BEDS_READ, Scope.BEDS_WRITE})) as navigator:
        _, address = await held(board, navigator)
        page = (await navigator.get(address)).text
        assert ("Send the referral" in page, "Extend once" in page) == (False, True)
        assert (await navigator.post(f"{address}/extension")).status_code == 303
    async with board.visitor(OUTREACH) as navigator:
        assert "Send the referral" in (await navigator.get(address)).text


async def test_a_referral_that_is_refused_says_why_beside_its_field(board: Board, navigator: Browser) -> None:
    _, address = await held(board, navigator)
    board.others.refusing = Problem("client-not-registered", faults=[Fault("members.0.client_id", "")])
    refused = await navigator.post(f"{address}/refer", **REFERRED)
    assert refused.status_code == 404
    assert re.search(r'id="fault-client_id">Your organization has not registered this client', refused.text)
    assert 'value="Canary-Rosa"' in refused.text
    board.others.refusing = Problem("vsp-no-release", faults=[Fault("members.0.segments.identity", "")])
    assert "signed release" in (await navigator.post(f"{address}/refer", **REFERRED)).text
    board.others.down.add("referrals")
    assert (await navigator.post(f"{address}/refer", **REFERRED)).status_code == 503
    board.others.down.clear()


async def test_a_hold_is_for_one_referral_and_only_while_it_lives(board: Board, navigator: Browser) -> None:
    _, address = await held(board, navigator)
    hold = address.removeprefix("/board")
    changed = await board.shelter.patch(OUTREACH, hold, referral_id="referral-a")
    assert (changed.status_code, changed.json()["referral_id"]) == (200, "referral-a")
    assert (await board.shelter.patch(OUTREACH, hold, referral_id="referral-a")).status_code == 200
    is_problem(await board.shelter.patch(OUTREACH, hold, referral_id="referral-b"), 409, "already-referred")
    is_problem(await board.shelter.patch(OTHER, hold, referral_id="referral-a"), 404, "not-found")
    await navigator.post(f"{address}/cancel")
    is_problem(await board.shelter.patch(OUTREACH, hold, referral_id="referral-a"), 409, "hold-ended")
    _, address = await held(board, navigator)
    await navigator.post(f"{address}/cancel")
    late = await navigator.post(f"{address}/refer", **REFERRED)
    assert late.headers["location"].startswith("/board/referrals/")
    assert "referral stands by itself" in (await navigator.get(late.headers["location"])).text


async def test_while_the_database_is_away_what_the_feed_told_is_shown(board: Board, navigator: Browser) -> None:
    unit = await board.shelter.unit(3)
    await board.settled()
    state, own = board.shelter.app.state, board.shelter.app.state.database
    state.database = Database(SecretStr("postgresql+psycopg://nobody@/nothing?host=/nowhere"))
    page = (await navigator.http.get("/board")).text
    assert card(page, unit)
    assert "Your holds can&#39;t be shown" in page
    away = await navigator.http.get(f"/board/holds/{unit}")
    state.database = own
    assert (away.status_code, "reach its data" in away.text) == (503, True)


def plain(page: str) -> str:
    """The text of a page, with its white space as one sees it."""
    return re.sub(r"\s+", " ", re.sub(r"\s*;", ";", re.sub(r"<[^>]*>", "", page)))
