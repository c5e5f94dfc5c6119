"""What an originator is told of its referral: what arrived, what did not and why, what was done, by whom and when."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from schemas.events import Party
from schemas.notices import ReferralUnanswered, UnansweredReferral
from schemas.records import (
    ConsentExcluded,
    ReferralAccepted,
    ReferralEnteredInError,
    ReferralExpired,
    ReferralRequested,
    ReferralRespondSoon,
)
from services.kit.broker import read_all
from services.referrals import lifecycle
from tests.conftest import Databases
from tests.support.chronicle import OUTREACH, PURPOSE, SHELTER
from tests.support.governance import is_problem
from tests.support.tables import direct
from tests.support.town import Town, founded

pytestmark = pytest.mark.asyncio(loop_scope="module")
NAME = {"first_name": "Rosa"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(postgres: Databases) -> AsyncIterator[Town]:
    async with founded(postgres.create_database("referrals")) as found:
        await found.start()
        yield found
        await found.stop()


async def permitted(town: Town, **changes: Any) -> tuple[str, str]:
    """A referral whose client consented before to the name, not to health; with the client's id."""
    client = town.keys.client(OUTREACH)
    await town.grant(client, "identity")
    members = [town.member(client, identity=NAME, health={"due_date": "2027-03-01"})]
    referral = await town.refer(members=members, **changes)
    await town.crossing(referral, verdict="permit")
    return referral, client


async def test_how_a_delivery_fares_is_told_as_the_log_says_it(town: Town) -> None:
    referral, client = await permitted(town)
    crossing = await town.crossing(referral, verdict="permit", delivery="pending")
    assert crossing["explained"] == {
        "verdict": "The recipient may know who this is, and gets the categories listed.",
        "withheld": {"health": "No consent of the client covers this for this recipient and purpose."},
    }
    ((place, _),) = await town.placed(referral)
    for state in ("failed", "given_up", "delivered"):
        await town.delivered(f"{place}/{SHELTER}", client, state=state, verdict="permit", categories=("identity",))
        crossing = await town.crossing(referral, delivery=state)
    decided_at = datetime.fromisoformat(crossing["decided_at"])
    assert abs(datetime.now(UTC) - decided_at) < timedelta(minutes=5)


async def test_what_was_said_at_another_desk_is_explained_as_nothing_in_particular(town: Town) -> None:
    referral, client = await permitted(town)
    await town.grant(client, event=ConsentExcluded, recorder="refuge", purposes=(), expires_at=None)
    more = {"client_id": client, "segments": {"identity": NAME}}
    assert (await town.post(OUTREACH, f"/referrals/{referral}/segments", more)).status_code == 200
    unsaid = dict.fromkeys(("health", "identity", "need"), "not-permitted")
    crossing = await town.crossing(referral, withheld=unsaid)
    assert set(crossing["explained"]["withheld"].values()) == {"This may not be sent to this recipient now."}


async def test_a_referral_nobody_answers_expires(town: Town) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=3)).isoformat()
    referral = await town.refer(respond_by=soon)
    reference = (await town.crossing(referral, verdict="deidentified"))["reference"]
    own = await town.own_view(referral)
    assert (own["status"], own["status_at"]) == ("requested", own["created_at"])
    expired_at = (await town.shown(OUTREACH, referral, "expired"))["status_at"]
    await town.shown(SHELTER, reference, "expired")
    expired = (await town.wait_events(referral, 2))[1]
    assert isinstance(expired, ReferralExpired)
    assert expired_at == expired.time
    history = (await town.own_view(referral))["history"]
    assert history[1:] == [{"status": "expired", "at": expired.time, "by": "clock"}]
    is_problem(await town.move(SHELTER, reference, "accepted"), 409, "invalid-transition", "to")
    told = UnansweredReferral(
        referral_id=referral,
        originator=Party(organization=OUTREACH),
        purpose=PURPOSE,
        version=expired.data.referral.version,
    )
    (notice,) = await unanswered(town, referral)
    assert (notice.id, notice.time, notice.data) == (expired.id, expired.time, told), "told to its originator once"


async def unanswered(town: Town, referral: str) -> list[ReferralUnanswered]:
    """What stands on referral-notices of a referral, once all is there that was to be said."""
    await town.all_read()
    runs = read_all(town.bootstrap, "referral-notices", {0: 0})
    said = [msgspec.json.decode(one.value or b"", type=ReferralUnanswered) async for run in runs for one in run]
    return [each for each in said if each.data.referral_id == referral]


async def test_a_recipient_is_asked_again_once_whoever_strikes_the_clock_and_however_often(town: Town) -> None:
    in_ten_minutes = datetime.now(UTC) + timedelta(minutes=10)
    referral, _ = await permitted(town, respond_by=in_ten_minutes.isoformat())
    assert (await town.own_view(referral))["nudged_at"] is None
    town.do("UPDATE referrals SET nudge_at = clock_timestamp() WHERE id = %s", referral)
    await asyncio.gather(*(lifecycle.nudge(town.app.state.database) for _ in range(8)))
    nudge = (await town.wait_events(referral, 2))[1]
    assert isinstance(nudge, ReferralRespondSoon)
    assert datetime.fromisoformat(str(nudge.data.respond_by)) == in_ten_minutes
    assert (nudge.data.referral.status, nudge.data.publisher) == ("requested", Party(organization=OUTREACH))
    view = await town.own_view(referral)
    assert (view["status"], view["nudged_at"], len(view["history"])) == ("requested", nudge.time, 1)
    await town.stop()
    await town.start()
    assert (await town.move(SHELTER, referral, "accepted")).status_code == 200
    await town.shown(OUTREACH, referral, "accepted")
    kinds = [type(event) for event in await town.events(referral)]
    assert kinds == [ReferralRequested, ReferralRespondSoon, ReferralAccepted]


async def test_who_has_answered_or_is_late_is_not_asked_again(town: Town) -> None:
    soon = (datetime.now(UTC) + timedelta(minutes=10)).isoformat()
    answered, late = [await town.refer(respond_by=soon) for _ in range(2)]
    history = await town.refer(respond_by=soon, historical=True)
    await town.crossing(answered, verdict="deidentified")
    reference = (await town.own_view(answered))["crossing"][0]["reference"]
    assert (await town.move(SHELTER, reference, "accepted")).status_code == 200
    due = "UPDATE referrals SET nudge_at = clock_timestamp() WHERE id = %s"
    over = "UPDATE referrals SET nudge_at = clock_timestamp(), respond_by = clock_timestamp() WHERE id = %s"
    town.do(due, answered)
    town.do(over, late)
    await town.shown(OUTREACH, late, "expired")
    for referral in (answered, late, history):
        assert (await town.own_view(referral))["nudged_at"] is None
    assert [len(await unanswered(town, each)) for each in (answered, late, history)] == [0, 1, 0]
    with direct(town.settings.database_url) as connection:
        query = "SELECT id FROM referrals WHERE nudge_at IS NULL AND id = ANY(%s)"
        assert connection.execute(query, ([late, history],)).fetchall() == [(history,)]


async def test_in_whatever_status_the_originator_may_say_that_it_was_an_error_and_nobody_else(town: Town) -> None:
    referral, client = await permitted(town)
    is_problem(await town.move(SHELTER, referral, "entered_in_error"), 409, "invalid-transition", "to")
    assert (await town.move(SHELTER, referral, "declined")).status_code == 200
    await town.shown(OUTREACH, referral, "declined")
    said = await town.move(OUTREACH, referral, "entered_in_error", reason_code="duplicate")
    assert (said.status_code, said.json()) == (200, {"id": referral, "status": "entered_in_error"})
    await town.shown(SHELTER, referral, "entered_in_error")
    for organization, to in ((OUTREACH, "entered_in_error"), (OUTREACH, "cancelled"), (SHELTER, "accepted")):
        is_problem(await town.move(organization, referral, to), 409, "invalid-transition", "to")
    more = {"client_id": client, "segments": {"identity": NAME}}
    is_problem(await town.post(OUTREACH, f"/referrals/{referral}/segments", more), 409, "wrong-status")
    steps = (await town.own_view(referral))["history"]
    assert [(each["status"], each["by"]) for each in steps] == [
        ("requested", "originator"),
        ("declined", "recipient"),
        ("entered_in_error", "originator"),
    ]
    event = (await town.events(referral))[-1]
    assert isinstance(event, ReferralEnteredInError)
    assert event.data.reason_code == "duplicate"


async def test_who_answers_between_the_end_of_its_time_and_the_clock_is_late_all_the_same(town: Town) -> None:
    for to in ("accepted", "declined"):
        referral, _ = await permitted(town)
        town.do("UPDATE referrals SET respond_by = clock_timestamp() WHERE id = %s", referral)
        is_problem(await town.move(SHELTER, referral, to), 409, "invalid-transition", "to")
        await town.shown(OUTREACH, referral, "expired")
