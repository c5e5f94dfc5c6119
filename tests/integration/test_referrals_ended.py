"""A consent that ended: who was told anything under it hears so, once, as the real boundary decides it."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from policy import canonical
from policy.parse import parse
from schemas.disclosures import Decision, Disclosure
from schemas.events import ConsentData, ConsentEnded, Party, Revocation, RevocationData
from schemas.records import ConsentEnteredInError, ConsentExpired, ConsentGranted, ReferralConsentEnded
from services.kit.broker import read_all
from services.kit.keys import random_id
from tests.conftest import Databases
from tests.support.chronicle import OUTREACH, SHELTER
from tests.support.log import PARTITIONS, context
from tests.support.tables import direct
from tests.support.town import Town, founded
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.asyncio(loop_scope="module")
NAME = {"first_name": "Rosa"}
TO_WITHDRAW = ("withdraw-copy",)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(postgres: Databases) -> AsyncIterator[Town]:
    async with founded(postgres.create_database("referrals")) as found:
        await found.start()
        yield found
        await found.stop()


async def granted(town: Town, client: str, *categories: str, **changes: Any) -> str:
    """A consent's id."""
    event = parse(await town.grant(client, *categories, **changes))
    assert isinstance(event, ConsentGranted)
    return event.data.consent.id


async def in_error(town: Town, client: str, consent: str) -> bytes:
    return await town.says(in_error_record(town, client, consent))


def in_error_record(town: Town, client: str, consent: str) -> ConsentEnteredInError:
    error = Revocation(id=random_id(), scope="consent", requested_by="discloser", consent_id=consent)
    desk = Party(organization=OUTREACH)
    data = RevocationData(**town.signed(), client_id=client, publisher=desk, revocation=error)
    return ConsentEnteredInError(**context(random_id()), data=data)


async def expired(town: Town, grant: bytes) -> bytes:
    event = parse(grant)
    assert isinstance(event, ConsentGranted)
    return await town.says(expired_record(town, event))


def expired_record(town: Town, event: ConsentGranted) -> ConsentExpired:
    data = msgspec.structs.replace(event.data, **town.signed())
    assert isinstance(data, ConsentData)
    return ConsentExpired(**context(random_id()), data=data)


async def permitted(town: Town) -> tuple[str, str, str]:
    """A referral of which a permit crossed, its client, and the consent under which it did."""
    client = town.keys.client(OUTREACH)
    consent = await granted(town, client, "identity")
    referral = await town.refer(members=[town.member(client, identity=NAME)])
    await town.crossing(referral, verdict="permit")
    return referral, client, consent


async def ends(town: Town, referral: str) -> list[ReferralConsentEnded]:
    return [event for event in await town.events(referral) if isinstance(event, ReferralConsentEnded)]


async def said(town: Town, referral: str, count: int = 1) -> list[ReferralConsentEnded]:
    async def enough() -> list[ReferralConsentEnded] | None:
        found = await ends(town, referral)
        return found if len(found) >= count else None

    return await wait_until_async(enough, what=f"{count} ends of consents")


async def all_said(town: Town) -> None:
    """Wait until every end that was read is told."""
    await town.all_read()

    async def none_left() -> bool:
        with direct(town.settings.database_url) as connection:
            waiting = connection.execute(
                "SELECT FROM consents_ended WHERE applied AND NOT told UNION ALL SELECT FROM positions AS noted"
                " JOIN positions AS answered USING (partition)"
                " WHERE noted.topic = 'client-events' AND answered.topic = 'disclosures' AND answered.next < noted.next"
            )
            return waiting.fetchone() is None

    await wait_until_async(none_left, what="all ends to be told")
    await town.all_read()


async def told(town: Town, event: ReferralConsentEnded) -> Decision:
    """What the boundary decided on it."""

    async def found() -> Decision | None:
        async for run in read_all(town.bootstrap, "disclosures", dict.fromkeys(range(PARTITIONS), 0)):
            for record in run:
                disclosure = msgspec.json.decode(record.value or b"", type=Disclosure)
                if disclosure.event is not None and disclosure.event.id == event.id:
                    return disclosure.decisions[0]
        return None

    return await wait_until_async(found, what="the decision")


async def test_who_was_told_under_a_consent_in_error_is_asked_to_withdraw_its_copy(town: Town) -> None:
    referral, client, consent = await permitted(town)
    other, _, _ = await permitted(town)
    await in_error(town, client, consent)
    (event,) = await said(town, referral)
    assert event.data.consent_ended == ConsentEnded(id=consent, reason="entered-in-error")
    assert (event.data.client_id, event.data.publisher.organization) == (client, OUTREACH)
    decision = await told(town, event)
    assert (decision.verdict, decision.status, decision.obligations) == ("status", "closed", TO_WITHDRAW)
    await town.shown(SHELTER, referral, "closed")
    await all_said(town)
    assert await ends(town, other) == []


async def test_what_another_consent_still_permits_stays_open_and_its_status_is_told(town: Town) -> None:
    client = town.keys.client(OUTREACH)
    consent = await granted(town, client, "identity")
    await town.grant(client, "health", expires_at=None)
    referral = await town.refer(members=[town.member(client, identity=NAME, health={"due_date": "2027-03-01"})])
    await town.crossing(referral, verdict="permit")
    await town.shown(SHELTER, referral, "requested")
    assert (await town.move(SHELTER, referral, "accepted")).status_code == 200
    await in_error(town, client, consent)
    (event,) = await said(town, referral)
    decision = await told(town, event)
    assert (decision.status, decision.obligations) == ("accepted", TO_WITHDRAW)


async def test_an_end_in_time_is_told_after_the_referrals_own_end_too_and_asks_nothing_back(town: Town) -> None:
    client = town.keys.client(OUTREACH)
    grant = await town.grant(client, "identity")
    referral = await town.refer(members=[town.member(client, identity=NAME)])
    await town.crossing(referral, verdict="permit")
    assert (await town.move(OUTREACH, referral, "cancelled")).status_code == 200
    await expired(town, grant)
    (event,) = await said(town, referral)
    assert event.data.consent_ended is not None
    assert event.data.consent_ended.reason == "expired"
    assert (await told(town, event)).obligations == ()


async def test_it_is_said_once_though_the_record_is_copied_said_again_and_the_service_restarted(town: Town) -> None:
    referral, client, consent = await permitted(town)
    record = await in_error(town, client, consent)
    await said(town, referral)
    await town.produce(client, record)
    await in_error(town, client, consent)
    await town.stop()
    await town.produce(client, record)
    await town.start()
    await all_said(town)
    assert len(await ends(town, referral)) == 1


@pytest.mark.parametrize("kind", ["in error", "expired"])
async def test_a_forged_end_is_not_said_and_takes_no_real_ones_place(town: Town, kind: str) -> None:
    client = town.keys.client(OUTREACH)
    grant = await town.grant(client, "identity")
    referral = await town.refer(members=[town.member(client, identity=NAME)])
    await town.crossing(referral, verdict="permit")
    event = parse(grant)
    assert isinstance(event, ConsentGranted)
    consent = event.data.consent.id
    forged = in_error_record(town, client, consent) if kind == "in error" else expired_record(town, event)
    await town.produce(client, canonical.encode(forged))
    await all_said(town)
    assert await ends(town, referral) == []
    await town.says(forged)
    (said_,) = await said(town, referral)
    assert said_.data.consent_ended is not None
    await all_said(town)
    assert len(await ends(town, referral)) == 1


async def test_an_end_while_the_service_is_away_is_said_when_it_is_back(town: Town) -> None:
    referral, client, consent = await permitted(town)
    await town.stop()
    await in_error(town, client, consent)
    await town.start()
    assert len(await said(town, referral)) == 1


async def test_where_nothing_was_told_under_it_nothing_is_said(town: Town) -> None:
    """Neither of a referral with the need alone, nor of history, nor under another consent of the same client."""
    client = town.keys.client(OUTREACH)
    unused = await granted(town, client, "notes")
    need_alone = await town.refer(members=[town.member(client, identity=NAME)])
    await town.crossing(need_alone, verdict="deidentified")
    historical = await town.refer(client_id=client, historical=True)
    await in_error(town, client, unused)
    await all_said(town)
    assert await ends(town, need_alone) == await ends(town, historical) == []


async def test_a_member_is_told_of_alone_and_never_with_the_heads_status(town: Town) -> None:
    mother, child = (town.keys.client(OUTREACH) for _ in range(2))
    consent = await granted(town, child, "identity", expires_at=None)
    members = [town.member(mother, 1, identity=NAME), town.member(child, 2, identity=NAME)]
    referral = await town.refer(members=members)
    reference = (await town.crossing(referral, verdict="deidentified"))["reference"]
    assert (await town.move(SHELTER, reference, "accepted")).status_code == 200
    await in_error(town, child, consent)
    (event,) = await said(town, referral)
    assert (event.data.client_id, event.data.referral.status) == (child, "requested")
    assert event.data.recipients[0].reference is None
    decision = await told(town, event)
    assert (decision.status, decision.known_as, decision.reference) == ("closed", "referral", None)


@pytest.mark.parametrize("state", ["released", "failed", "delivered"])
async def test_a_consent_that_a_message_rested_on_which_may_have_left_counts_too(town: Town, state: str) -> None:
    """The boundary saw no such consent: that the decision rests on it, webhooks alone says."""
    referral, client, _ = await permitted(town)
    newer = random_id()
    ((place, event),) = await town.placed(referral)
    released: dict[str, Any] = {"state": state, "verdict": "permit", "categories": ("identity",)}
    await town.delivered(f"{place}/{SHELTER}", client, **released, consents=(newer,))

    async def noted() -> bool:
        with direct(town.settings.database_url) as connection:
            row = connection.execute("SELECT FROM decisions WHERE consents ? %s", [newer]).fetchone()
        return row is not None

    await wait_until_async(noted, what="the delivery to be noted")
    await in_error(town, client, newer)
    (ended,) = await said(town, referral)
    assert ended.data.consent_ended == ConsentEnded(id=newer, reason="entered-in-error")
    assert event.data.client_id == client
