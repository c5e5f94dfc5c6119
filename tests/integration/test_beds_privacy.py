"""Who is where cannot be told from what others see of beds, as far as the design promises it.

Two worlds are played that differ in one thing: which of two people, referred by two organizations, went to which of two
units. The attacker reads every record of `bed-availability` (all that the feed and the board can ever show), GET
/availability, and every record of `bed-holds`; is an organization that may read beds; knows when it made its own
referrals; and asks the API for everything whose id it has seen.

What IS visible, and to whom:
- A unit that shows counts shows them with their time: one bed more on hold. It is for units so large that this tells
  of nobody; the setting for small ones is yes_no or call.
- A yes_no unit, confidential or not, says "no" when its last free bed is held or taken and "yes" when one is free
  again, at once to whoever listens; written in it is the hour alone. While more than one bed is free, holds, their
  ends, check-ins and walk-ins are not said at all.
- A unit to call says nothing of its beds, ever.
- A request for a hold at a yes_no unit is answered with no more than yes or no, which the unit says anyway. It takes no
  bed: whoever asks for more beds than are free gets the same answer, and nothing moves by it, however many ask. Whoever
  asked for more than there are learns how many there were when the shelter says yes: from then on it has them.
- A census of a yes_no unit shows once an hour that the shelter has counted.
- `bed-holds`, which only this product's services may read (schemas/topics/bed-holds.yaml), has the holding organization
  and the time of each step, at confidential units too: whoever reads it, and knows which organization referred whom
  when, can tell where. It never has a client, a referral or a door code.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from tests.conftest import Databases
from tests.support.board import Board, running_board
from tests.support.governance import is_problem
from tests.support.shelter import OTHER, OUTREACH, SAFE_HOUSE, SHELTER, Shelter

pytestmark = pytest.mark.asyncio(loop_scope="module")
ATTACKER, PROBER = "curious-organization", "probing-organization"
REFERRALS = ("referral-of-ana", "referral-of-luz")
TIME = re.compile(r"^\d{4}-\d\d-\d\dT")
ID = re.compile(r"^[0-9a-f]{32}$")
# Of a page: ids, door codes, times of day and Unix times, how long ago, and what a form has in secret.
RANDOM = re.compile(
    r"[0-9a-f]{32}|[A-Z]{3,8}-[0-9]{2}|[0-9.:]{5,}|[0-9]+\xa0(?:min|h) ago|just now|[0-9]+\xa0(?:min|h)|value=\S+"
)
YES_NO = {"shown": "yes_no"}
CONFIDENTIAL = YES_NO | {"confidential": True, "phone": "1 800 555 0199", "name": "Canary House"}
CALL = {"shown": "call", "hold_policy": "none", "phone": "555 0100"}
Seen = dict[str, Any]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def board(postgres: Databases) -> AsyncIterator[Board]:
    async with running_board(postgres.create_database("shelter_beds")) as found:
        yield found


@pytest.fixture
def shelter(board: Board) -> Shelter:
    return board.shelter


async def held(shelter: Shelter, beds: int, *, crossed: bool) -> tuple[Seen, list[str]]:
    """Two people are held a bed for and come; what the attacker sees of that, and the door codes."""
    units = [await shelter.unit(beds, SHELTER, **YES_NO), await shelter.unit(beds, SAFE_HOUSE, **CONFIDENTIAL)]
    desks = dict(zip(units, (SHELTER, SAFE_HOUSE), strict=True))
    codes = []
    for holder, referral, unit in zip((OUTREACH, OTHER), REFERRALS, reversed(units) if crossed else units, strict=True):
        hold = await shelter.hold(unit, holder, referral_id=referral)
        await shelter.post(desks[unit], f"/holds/{hold['id']}/answer", {"accept": True})
        extended = await shelter.post(holder, f"/holds/{hold['id']}/extension")
        came = await shelter.post(desks[unit], f"/holds/{hold['id']}/check-in", {"door_code": hold["door_code"]})
        assert (extended.status_code, came.status_code) == (200, 200)
        codes.append(hold["door_code"])
    return await seen(shelter, units), codes


async def refused(shelter: Shelter, unit: str, **asked: int) -> str:
    """Why an organization is refused a hold; "" if it is not."""
    answer = await shelter.post(PROBER, "/holds", {"unit_id": unit, "minutes": 30, **asked})
    if answer.status_code == 201:
        hold = answer.json()
        assert (hold["beds"], hold["bed_ids"]) == (asked.get("beds", 1), [])
        await shelter.http.delete(f"/holds/{hold['id']}", headers=shelter.headers(PROBER))
        return ""
    return str(answer.json()["type"])


async def test_asking_for_holds_counts_no_beds(shelter: Shelter) -> None:
    """A refusal for want of beds came before one for minutes, policy or the holds one has: beds could be counted."""
    for beds in (2, 5):
        call = await shelter.unit(beds, SHELTER, **CALL)
        assert {await refused(shelter, call, beds=asked) for asked in range(1, 9)} == {"/problems/holds-not-taken"}
        quiet = await shelter.unit(beds, SHELTER, **YES_NO)
        assert {await refused(shelter, quiet, beds=asked) for asked in range(1, 9)} == {""}
        long = {await refused(shelter, quiet, beds=asked, minutes=1440) for asked in range(1, 9)}
        assert long == {"/problems/invalid-body"}
        for _ in range(3):  # as many as one may have
            await shelter.post(PROBER, "/holds", {"unit_id": quiet, "minutes": 30, "beds": 8})
        most = {await refused(shelter, quiet, beds=asked) for asked in range(1, 9)}
        assert most == {"/problems/too-many-holds"}
        assert {await refused(shelter, quiet, beds=asked, minutes=1440) for asked in range(1, 9)} == long


async def asked(board: Board, free: int) -> Seen:
    """Of five beds some are free; what the attacker sees who asks for one to eight at once, watches, and lets go."""
    shelter = board.shelter
    unit = await shelter.unit(5, occupied=5 - free, name="Quiet Room", max_open_holds=9, **YES_NO)
    before, pages = await watched(board, unit), []
    async with board.visitor(PROBER) as browser:
        for beds in range(1, 9):
            placed = await browser.post(f"/board/units/{unit}/hold", beds=str(beds), minutes="30", once=f"{unit}{beds}")
            page = (await browser.get(placed.headers["location"])).text
            pages.append(RANDOM.sub("*", page))
    listed = (await shelter.get(PROBER, "/holds", unit_id=unit)).json()["items"]
    holds = sorted(listed, key=lambda hold: str(hold["created_at"]))
    assert [(hold["beds"], hold["bed_ids"]) for hold in holds] == [(beds, []) for beds in range(1, 9)]
    assert await watched(board, unit) == before, "nothing moves while they stand"
    for hold in holds:
        assert (await shelter.let_go(PROBER, hold["id"])).status_code == 200
    assert await watched(board, unit) == before, "nor when they end"
    found: Seen = alike({"before": before, "holds": holds, "pages": pages}, "door_code")
    return found


async def watched(board: Board, unit: str) -> Seen:
    """What anybody sees of a unit: every record of it, the lists, and its card."""
    async with board.visitor(ATTACKER) as browser:
        page = (await browser.get("/board")).text
    card = re.search(rf'<li class="unit [a-z_]+" id="unit-{unit}".*?</article>', page, re.DOTALL)
    assert card is not None
    found = await seen(board.shelter, [unit])
    return {"listed": found["listed"], "said": found["said"], "card": RANDOM.sub("*", card[0])}


async def test_asking_moves_nothing_and_is_answered_alike_whatever_is_free(board: Board) -> None:
    """As many as were asked for were taken: "yes" became "no" when that was the number of free beds."""
    one, *others = [await asked(board, free) for free in (1, 2, 5)]
    for other in others:
        for what in one:
            assert other[what] == one[what], what


async def walked_in(shelter: Shelter, units: Sequence[tuple[str, str]], *, crossed: bool) -> Seen:
    """One person comes to one of two units, without a hold, and leaves again."""
    unit, desk = units[1 if crossed else 0]
    bed = (await shelter.get(desk, f"/units/{unit}")).json()["beds"][0]["id"]
    for status in ("occupied", "free"):
        assert (await shelter.patch(desk, f"/units/{unit}/beds/{bed}", status=status)).status_code == 200
    return await seen(shelter, [unit for unit, _ in units])


async def seen(shelter: Shelter, units: Sequence[str]) -> Seen:
    """All that the attacker sees of these units."""
    listed = (await shelter.get(ATTACKER, "/availability", limit="200")).json()["items"]
    said = [msgspec.json.decode(value) for value in await shelter.values("bed-availability")]
    steps = [msgspec.json.decode(value) for value in await shelter.values("bed-holds")]
    steps.sort(key=lambda step: (step["time"], step["data"].get("order", 0)))
    return {
        "listed": [each for unit in units for each in listed if each["unit_id"] == unit],
        "said": [[each for each in said if each["data"]["unit_id"] == unit] for unit in units],
        "held": [[each for each in steps if each["data"]["unit_id"] == unit] for unit in units],
    }


def alike(found: Any, *masked: str) -> Any:
    """The same without what is random or a time: ids are numbered as they come."""
    names: dict[str, str] = {}

    def plain(value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {key: plain(value[key], key) for key in value}
        if isinstance(value, list):
            return [plain(each) for each in value]
        if name in masked or (isinstance(value, str) and TIME.match(value)):
            return "*"
        return names.setdefault(value, f"id {len(names)}") if isinstance(value, str) and ID.match(value) else value

    return plain(found)


@pytest.mark.parametrize("beds", [1, 3])
async def test_who_was_held_a_bed_for_is_where_nobody_can_tell(shelter: Shelter, beds: int) -> None:
    (one, codes), (other, other_codes) = [await held(shelter, beds, crossed=crossed) for crossed in (False, True)]
    for what in ("listed", "said"):
        assert alike(one[what]) == alike(other[what])
        assert OUTREACH not in str(one[what])
    # Of the holds the organization differs, and nothing else does.
    assert alike(one["held"], "holder") == alike(other["held"], "holder")
    assert alike(one["held"]) != alike(other["held"])
    assert [len(steps) for steps in one["held"]] == [4, 4]
    everything = str((one, other))
    assert not [secret for secret in (*REFERRALS, *codes, *other_codes, "Canary House") if secret in everything]
    # With one bed its loss is said, once; with more nothing was said but that there is a unit.
    assert [[each["data"]["open"] for each in unit] for unit in one["said"]] == [
        [True, False] if beds == 1 else [True]
    ] * 2


@pytest.mark.parametrize("there", [YES_NO, CALL, CONFIDENTIAL], ids=["yes-no", "call", "confidential"])
async def test_who_walked_in_is_where_nobody_can_tell(shelter: Shelter, there: dict[str, Any]) -> None:
    owner = SAFE_HOUSE if "confidential" in there else OTHER

    async def world(*, crossed: bool) -> Seen:
        # Both shelters reported yesterday: whoever comes must not be what tells of today.
        as_of = (datetime.now(UTC) - timedelta(days=1)).isoformat()
        units = [
            (await shelter.unit(3, SHELTER, as_of=as_of, **YES_NO), SHELTER),
            (await shelter.unit(3, owner, as_of=as_of, **there), owner),
        ]
        return await walked_in(shelter, units, crossed=crossed)

    one, other = await world(crossed=False), await world(crossed=True)
    assert alike(one) == alike(other)
    assert [len(records) for records in (*one["said"], *other["said"])] == [1] * 4  # that there is a unit


async def test_what_is_written_of_a_unit_that_shows_no_counts_has_no_minute(shelter: Shelter) -> None:
    unit = await shelter.unit(1, **YES_NO)
    await shelter.answer(await shelter.hold(unit), accept=True)
    now = datetime.now(UTC).isoformat()
    assert (await shelter.census(SHELTER, unit, available=0, as_of=now)).status_code == 200
    found = await seen(shelter, [unit])
    times = [value for each in found["said"][0] for value in (each["time"], *each["data"].values())]
    times += list(found["listed"][0].values())
    written = [value for value in times if isinstance(value, str) and TIME.match(value)]
    assert len(written) >= 6
    assert all(value.endswith(":00:00.000000Z") for value in written)


async def test_ids_that_were_seen_open_nothing(shelter: Shelter) -> None:
    unit = await shelter.unit(2, SAFE_HOUSE, **CONFIDENTIAL)
    hold = await shelter.hold(unit, referral_id=REFERRALS[0])
    paths = (f"/holds/{hold['id']}", f"/units/{unit}", f"/units/{unit}/changes")
    for answer in await asyncio.gather(*(shelter.get(ATTACKER, path) for path in paths)):
        is_problem(answer, 404, "not-found")
    for path in (f"/holds?unit_id={unit}", f"/holds?door_code={hold['door_code']}", "/units"):
        assert (await shelter.get(ATTACKER, path)).json()["items"] == []
    # The shelter itself learns who comes from its own referral alone.
    assert REFERRALS[0] not in (await shelter.get(SAFE_HOUSE, f"/holds/{hold['id']}")).text
