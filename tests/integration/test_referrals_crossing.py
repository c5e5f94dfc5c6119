"""What crosses, as the real boundary decides it: what each party sees, and what follows by itself."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from schemas.events import Party, Revocation, RevocationData
from schemas.records import ConsentExcluded, ConsentRevoked, ReferralAccepted, ReferralUpdated
from services.kit.keys import random_id
from tests.conftest import Databases
from tests.support.chronicle import OUTREACH, SAFE_HOUSE, SHELTER
from tests.support.governance import is_problem
from tests.support.log import context
from tests.support.town import Town, founded
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.asyncio(loop_scope="module")
NAME = {"first_name": "Rosa"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(postgres: Databases) -> AsyncIterator[Town]:
    async with founded(postgres.create_database("referrals")) as found:
        await found.start()
        yield found
        await found.stop()


async def revoke(town: Town, client_id: str) -> None:
    revocation = Revocation(id=random_id(), scope="all", requested_by="client")
    desk = Party(organization=SHELTER)
    data = RevocationData(**town.signed(), client_id=client_id, publisher=desk, revocation=revocation)
    await town.says(ConsentRevoked(**context(random_id()), data=data))


async def named(town: Town) -> tuple[str, str]:
    """A referral that says who the client is; with the client's id."""
    client = town.keys.client(OUTREACH)
    return await town.refer(members=[town.member(client, identity=NAME, health={"due_date": "2027-03-01"})]), client


async def known_by_id(town: Town) -> tuple[str, str]:
    """A referral that the shelter knows by its id, with the client's."""
    referral, client = await named(town)
    await town.crossing(referral, verdict="deidentified")
    await town.grant(client, "identity")
    await town.crossing(referral, verdict="permit")
    return referral, client


async def test_a_request_without_consent_is_known_by_its_reference_alone(town: Town) -> None:
    referral, _ = await named(town)
    crossing = await town.crossing(referral, verdict="deidentified")
    reference = crossing["reference"]
    assert crossing["categories"] == ["need"]
    assert crossing["withheld"] == {"health": "no-consent", "identity": "no-consent"}
    seen = await town.get(SHELTER, f"/referrals/{reference}")
    assert seen.json() == {"id": reference, "status": "requested"}
    is_problem(await town.get(SHELTER, f"/referrals/{referral}"), 404, "not-found")
    assert referral not in (await town.get(SHELTER, "/referrals", limit="200")).text
    accepted = await town.move(SHELTER, reference, "accepted")
    assert accepted.json() == {"id": reference, "status": "accepted"}
    assert (await town.own_view(referral))["status"] == "accepted"


async def test_what_was_withheld_follows_a_grant(town: Town) -> None:
    referral, client = await named(town)
    reference = (await town.crossing(referral, verdict="deidentified"))["reference"]
    await town.grant(client, "identity", "income")
    crossing = await town.crossing(referral, verdict="permit")
    assert crossing["categories"] == ["identity", "need"]
    assert crossing["withheld"] == {"health": "no-consent"}
    requested, updated = await town.wait_events(referral, 2)
    assert isinstance(updated, ReferralUpdated)
    assert updated.data.sealed == requested.data.sealed
    assert updated.data.referral.version == 2
    for known in (referral, reference):
        assert (await town.get(SHELTER, f"/referrals/{known}")).json() == {"id": known, "status": "requested"}


async def test_a_grant_is_followed_only_where_it_says_something_new(town: Town) -> None:
    """Not before the request, by another discloser, to another recipient, for another purpose, nor after the end."""
    client = town.keys.client(OUTREACH)
    await town.grant(client, "identity")
    before = await town.refer(members=[town.member(client, identity=NAME)])
    await town.crossing(before, verdict="permit")
    ended, other = await named(town)
    await town.crossing(ended, verdict="deidentified")
    assert (await town.move(OUTREACH, ended, "cancelled")).status_code == 200
    historical = await town.refer(client_id=other, historical=True)
    await town.crossing(historical, verdict="not_sent")
    for changes in ({"recorder": SAFE_HOUSE}, {"to": (OUTREACH,)}, {"purposes": ("care-coordination",)}):
        await town.grant(client, "identity", **changes)
    await town.grant(other, "identity")
    await town.all_read()
    assert [len(await town.events(each)) for each in (before, ended, historical)] == [1, 2, 1]


async def test_a_grant_is_followed_exactly_once_though_the_service_is_restarted_and_the_grant_copied(
    town: Town,
) -> None:
    referral, client = await named(town)
    await town.crossing(referral, verdict="deidentified")
    grant = await town.grant(client, "identity")
    await town.wait_events(referral, 2)
    await town.produce(client, grant)
    await town.stop()
    await town.produce(client, grant)
    await town.start()
    await town.all_read()
    assert len(await town.events(referral)) == 2
    await town.grant(client, "health")
    assert len(await town.wait_events(referral, 3)) == 3
    await town.crossing(referral, categories=["health", "identity", "need"])


async def test_a_grant_while_the_service_is_away_is_followed_when_it_is_back(town: Town) -> None:
    referral, client = await named(town)
    await town.crossing(referral, verdict="deidentified")
    await town.stop()
    await town.grant(client, "identity")
    await town.start()
    await town.crossing(referral, verdict="permit")
    assert len(await town.events(referral)) == 2


async def test_a_member_follows_alone_and_is_not_linked_to_the_household(town: Town) -> None:
    mother, child = (town.keys.client(OUTREACH) for _ in range(2))
    members = [town.member(mother, 1, identity=NAME), town.member(child, 2, identity=NAME)]
    referral = await town.refer(members=members)
    reference = (await town.crossing(referral, verdict="deidentified"))["reference"]
    await town.grant(child, "identity")
    await town.wait_events(referral, 3)
    await town.shown(SHELTER, referral, "requested")
    crossing = (await town.own_view(referral))["crossing"]
    assert [each["verdict"] for each in crossing] == ["deidentified", "permit"]
    assert crossing[1]["categories"] == ["identity"]
    by_reference = await town.get(SHELTER, f"/referrals/{reference}")
    assert by_reference.json() == {"id": reference, "status": "requested"}
    assert (await town.get(SHELTER, f"/referrals/{referral}")).json() == {"id": referral, "status": "requested"}


async def test_why_a_member_was_not_sent_is_told_though_no_decision_names_its_referral(town: Town) -> None:
    head, member = (town.keys.client(OUTREACH) for _ in range(2))
    members = [town.member(head), town.member(member, 2, identity=NAME)]
    first, second = [await town.refer(members=members) for _ in range(2)]
    for referral in (first, second):

        async def told(of: str = referral) -> bool:
            return bool((await town.own_view(of))["crossing"][1]["withheld"] == {"identity": "no-consent"})

        await wait_until_async(told, what="the member's denial")


async def test_a_lapsed_permission_shows_only_closed_from_the_next_decision_on(town: Town) -> None:
    referral, client = await known_by_id(town)
    assert (await town.move(SHELTER, referral, "accepted")).json() == {"id": referral, "status": "accepted"}
    assert (await town.own_view(referral))["status"] == "accepted"
    await revoke(town, client)
    assert (await town.get(SHELTER, f"/referrals/{referral}")).json()["status"] == "accepted"
    assert (await town.move(OUTREACH, referral, "cancelled")).json()["status"] == "cancelled"
    assert await town.shown(SHELTER, referral, "closed") == {"id": referral, "status": "closed"}
    reference = (await town.own_view(referral))["crossing"][0]["reference"]
    listed = (await town.get(SHELTER, "/referrals", status="closed", limit="200")).json()["items"]
    assert {"id": reference, "status": "closed"} in listed
    assert (await town.own_view(referral))["status"] == "cancelled"


async def test_what_crossed_stays_told_and_what_would_not_cross_now_too(town: Town) -> None:
    referral, client = await known_by_id(town)
    await revoke(town, client)
    more = {"client_id": client, "segments": {"notes": {"text": "later"}}}
    assert (await town.post(OUTREACH, f"/referrals/{referral}/segments", more)).status_code == 200
    await town.shown(SHELTER, referral, "closed")
    crossing = (await town.own_view(referral))["crossing"][0]
    assert (crossing["verdict"], crossing["categories"]) == ("permit", ["identity", "need"])
    assert crossing["withheld"]["identity"] == "revoked"
    assert crossing["withheld"]["notes"] == "no-consent"
    for to in ("accepted", "started"):
        is_problem(await town.move(SHELTER, referral, to), 409, "invalid-transition", "to")
    declined = await town.move(SHELTER, referral, "declined", declined_by="client", reason_code="client-declined")
    assert declined.json() == {"id": referral, "status": "closed"}


async def test_an_excluded_recipient_finds_no_referral(town: Town) -> None:
    referral, client = await known_by_id(town)
    await town.grant(client, event=ConsentExcluded, purposes=(), expires_at=None)
    assert (await town.move(OUTREACH, referral, "cancelled")).status_code == 200
    await town.shown(SHELTER, referral, 404)
    is_problem(await town.move(SHELTER, referral, "declined"), 404, "not-found")
    assert referral not in (await town.get(SHELTER, "/referrals", limit="200")).text


async def test_before_a_404_the_service_reads_what_was_decided(town: Town) -> None:
    """The recipient knows the reference from its webhook, perhaps before this service has read the decision."""
    for _ in range(5):
        referral, _ = await named(town)
        (event,) = await town.wait_events(referral, 1)
        await town.decided(event)
        answer = await town.get(SHELTER, f"/referrals/{event.data.recipients[0].reference}")
        assert answer.status_code == 200


async def test_the_lifecycle_is_published_once_under_the_head_and_carries_no_box(town: Town) -> None:
    head, member = (town.keys.client(OUTREACH) for _ in range(2))
    referral = await town.refer(members=[town.member(member, 2, identity=NAME), town.member(head, identity=NAME)])
    reference = (await town.crossing(referral, verdict="deidentified"))["reference"]
    is_problem(await town.move(OUTREACH, referral, "accepted"), 409, "invalid-transition", "to")
    is_problem(await town.move(SHELTER, reference, "cancelled"), 409, "invalid-transition", "to")
    is_problem(await town.move(SHELTER, reference, "completed"), 409, "invalid-transition", "to")
    is_problem(await town.move(SHELTER, reference, "expired"), 422, "invalid-body", "to")
    answer = await town.move(SHELTER, reference, "accepted", declined_by="client")
    is_problem(answer, 422, "invalid-body", "declined_by")
    actor = {"id": "w-2", "role": "intake"}
    twice = [
        await town.post(SHELTER, f"/referrals/{reference}/transitions", {"to": "accepted", "actor": actor}, key="a")
        for _ in range(2)
    ]
    assert [answer.status_code for answer in twice] == [200, 200]
    accepted = (await town.wait_events(referral, 3))[2]
    requested = next(each for each in await town.events(referral) if each.data.client_id == head)
    assert isinstance(accepted, ReferralAccepted)
    assert accepted.data.client_id == head
    assert accepted.data.publisher == Party(organization=SHELTER)
    assert accepted.data.recipients == requested.data.recipients
    assert (accepted.data.referral.originator, accepted.data.purpose) == (
        requested.data.referral.originator,
        requested.data.purpose,
    )
    assert (accepted.data.sealed, accepted.data.call_back) == ((), None)
    assert (await town.shown(OUTREACH, referral, "accepted"))["status_at"] == accepted.time
    for number, to in enumerate(("started", "on_hold", "started", "completed"), 4):
        assert (await town.move(SHELTER, reference, to)).json() == {"id": reference, "status": to}
        moved = (await town.wait_events(referral, number))[-1]
        # The event is on the log before the originator has been told of it.
        assert (await town.shown(OUTREACH, referral, to))["status_at"] == moved.time
    is_problem(await town.move(OUTREACH, referral, "cancelled"), 409, "invalid-transition", "to")
    view, events = await town.own_view(referral), await town.events(referral)
    assert [(each["status"], each["by"]) for each in view["history"]] == [
        ("requested", "originator"),
        *((to, "recipient") for to in ("accepted", "started", "on_hold", "started", "completed")),
    ]
    requested_at, *moved_at = (each["at"] for each in view["history"])
    assert (requested_at, moved_at) == (view["created_at"], [each.time for each in events[2:]])
    listed = next(
        each for each in (await town.get(OUTREACH, "/referrals", limit="200")).json()["items"] if each["id"] == referral
    )
    assert listed == view


async def test_deliveries_say_when_it_arrived_and_what_the_custodian_cut(town: Town) -> None:
    referral, client = await known_by_id(town)
    asked, updated = await town.placed(referral)
    await town.delivered(f"{asked[0]}/{SHELTER}", client)
    await town.delivered(f"{updated[0]}/{SHELTER}", client, state="released", verdict="permit")
    held_back = {"state": "withheld", "verdict": "withheld", "categories": (), "reason": "revoked"}
    await town.delivered(f"{updated[0]}/{SHELTER}", client, **held_back)
    crossing = await town.crossing(referral, verdict="deidentified", delivered_at="2026-11-23T12:00:00Z")
    assert crossing["withheld"]["identity"] == "revoked"
    delivered = {"state": "delivered", "verdict": "permit", "categories": ("identity",), "attempt": 2}
    await town.delivered(f"{updated[0]}/{SHELTER}", client, time="2026-11-23T12:05:00Z", **delivered)
    crossing = await town.crossing(referral, verdict="permit", delivered_at="2026-11-23T12:05:00Z")
    assert (crossing["categories"], crossing["delivery"]) == (["identity"], "delivered")
