"""What recipients must hear and was said in doubt is said again after it, as the real boundary decides it."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple

import msgspec
import pytest
import pytest_asyncio

from policy import canonical
from policy.control import Control
from policy.murmur2 import partition_of
from policy.parse import parse
from policy.state import PartitionState
from policy.step import Fold
from schemas.control import ControlRestatedData
from schemas.disclosures import Disclosure
from schemas.events import (
    ClientConsents,
    ConsentRestatedData,
    HeldConsent,
    Party,
    Revocation,
    RevocationData,
)
from schemas.records import (
    ConsentEnteredInError,
    ConsentExcluded,
    ConsentGranted,
    ConsentRestated,
    ControlRestated,
    ReferralConsentEnded,
    ReferralEnteredInError,
)
from services.kit.broker import read_all
from services.kit.keys import random_id
from tests.conftest import Databases
from tests.integration.test_referrals_ended import expired_record
from tests.integration.test_referrals_ended_versions import renewal
from tests.support.chronicle import OUTREACH, SHELTER
from tests.support.log import GOVERNANCE, LOG_ID, PARTITIONS, ROOT_FINGERPRINT, context
from tests.support.tables import direct
from tests.support.town import Town, founded
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.asyncio(loop_scope="module")
NAME = {"first_name": "Rosa"}
TO_WITHDRAW = ("withdraw-copy",)
RESTATED = "control/restated"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(postgres: Databases) -> AsyncIterator[Town]:
    async with founded(postgres.create_database("referrals")) as found:
        await found.start()
        yield found
        await found.stop()


class Permitted(NamedTuple):
    """A referral of which a permit was decided, and the grant under which it was."""

    referral: str
    client: str
    grant: ConsentGranted

    @property
    def partition(self) -> int:
        return partition_of(self.client.encode(), PARTITIONS)


async def permitted(town: Town) -> Permitted:
    client = town.keys.client(OUTREACH)
    grant = parse(await town.grant(client, "identity"))
    assert isinstance(grant, ConsentGranted)
    referral = await town.refer(members=[town.member(client, identity=NAME)])
    await town.crossing(referral, verdict="permit")
    return Permitted(referral, client, grant)


async def enter_in_error(town: Town, one: Permitted) -> None:
    assert (await town.move(OUTREACH, one.referral, "entered_in_error")).status_code == 200


def restated(town: Town, one: Permitted) -> ConsentRestated:
    """What consent says of the client: the one grant."""
    grant = HeldConsent(order=one.grant.data.order, recorder=OUTREACH, consent=one.grant.data.consent)
    signed = town.signed()
    held = ClientConsents(mark=signed["order"], grants=(grant,))
    return ConsentRestated(
        **context(random_id()), data=ConsentRestatedData(**signed, client_id=one.client, consents=held)
    )


async def restate_control(town: Town, partition: int) -> None:
    """What governance says: the control state of the partition, as it was."""
    control = await control_of(town, partition)
    data = ControlRestatedData(
        **town.signed(),
        policy_version=control.policy_version,
        organizations=tuple(control.organizations.values()),
        agreements=tuple(control.agreements.values()),
        keys=tuple(control.keys.values()),
    )
    event = ControlRestated(**context(random_id()), data=data)
    await town.produce(RESTATED, GOVERNANCE.sign(event, log_id=LOG_ID, key=RESTATED), partition)


async def control_of(town: Town, partition: int) -> Control:
    fold = Fold(PartitionState(partition=partition, root_fingerprint=ROOT_FINGERPRINT))
    async for run in read_all(town.bootstrap, "client-events", {partition: 0}):
        for record in run:
            fold.step(record.timestamp_ms, record.key, record.headers, record.value)
    return fold.state.control


async def words(town: Town, one: Permitted, count: int, kind: type[Any] = ReferralEnteredInError) -> Sequence[str]:
    """The decisions on so many events of a kind, in their order: the reason of a denial, or the word."""

    async def decided() -> list[str] | None:
        places = {place for place, event in await town.placed(one.referral) if isinstance(event, kind)}
        found = []
        async for run in read_all(town.bootstrap, "disclosures", {one.partition: 0}):
            for record in run:
                disclosure = msgspec.json.decode(record.value or b"", type=Disclosure)
                if f"{one.partition}/{disclosure.source_offset}" in places:
                    (decision,) = disclosure.decisions
                    assert decision.verdict == "deny" or decision.obligations == TO_WITHDRAW
                    found.append(decision.status or decision.reasons[0])
        return found if len(found) >= count else None

    return await wait_until_async(decided, what=f"{count} decisions")


async def all_heard(town: Town) -> None:
    """Wait until nothing is left to be said again."""

    def none_left() -> bool:
        with direct(town.settings.database_url) as connection:
            return connection.execute("SELECT FROM unheard").fetchone() is None

    await wait_until_async(none_left, what="all to be heard")
    await town.all_read()


async def waits(town: Town, one: Permitted) -> None:
    """Wait until it was read that the boundary denied it in doubt."""

    def found() -> bool:
        with direct(town.settings.database_url) as connection:
            query = "SELECT FROM unheard WHERE referral_id = %s AND denied AND NOT restated"
            return connection.execute(query, [one.referral]).fetchone() is not None

    await wait_until_async(found, what="a word to wait")


async def test_an_error_said_while_the_client_was_in_doubt_is_said_again_and_its_copies_are_asked_back(
    town: Town,
) -> None:
    one, other = await permitted(town), await permitted(town)
    await town.produce(one.client, b"rubbish")
    await enter_in_error(town, one)
    await enter_in_error(town, other)
    await waits(town, one)
    assert await words(town, other, 1) == ["entered_in_error"]
    await town.stop()
    await town.start()
    await town.says(restated(town, one))
    assert await words(town, one, 2) == ["client-in-doubt", "entered_in_error"]
    await town.shown(SHELTER, one.referral, "entered_in_error")
    history = (await town.own_view(one.referral))["history"]
    assert [step["status"] for step in history] == ["requested", "entered_in_error"], "made once"
    await all_heard(town)
    assert [len(await words(town, each, 1)) for each in (one, other)] == [2, 1]


async def test_so_it_is_after_a_doubt_about_control(town: Town) -> None:
    one = await permitted(town)
    await town.produce("control/rubbish", b"rubbish", one.partition)
    await enter_in_error(town, one)
    await waits(town, one)
    await restate_control(town, one.partition)
    assert await words(town, one, 2) == ["control-in-doubt", "entered_in_error"]
    await all_heard(town)


async def test_a_forged_restatement_ends_no_doubt_and_the_true_one_is_waited_for(town: Town) -> None:
    one = await permitted(town)
    await town.produce(one.client, b"rubbish")
    await enter_in_error(town, one)
    await waits(town, one)
    await town.produce(one.client, canonical.encode(restated(town, one)))
    assert await words(town, one, 2) == ["client-in-doubt", "client-in-doubt"]
    await waits(town, one)
    await town.says(restated(town, one))
    assert (await words(town, one, 3))[2] == "entered_in_error"
    await all_heard(town)


async def test_a_restatement_read_while_the_service_was_away_counts(town: Town) -> None:
    one = await permitted(town)
    await town.produce(one.client, b"rubbish")
    await enter_in_error(town, one)
    await words(town, one, 1)
    await town.stop()
    await town.says(restated(town, one))
    await town.start()
    assert await words(town, one, 2) == ["client-in-doubt", "entered_in_error"]
    await all_heard(town)


async def test_the_end_of_a_consent_said_in_doubt_is_said_again(town: Town) -> None:
    one = await permitted(town)
    await town.stop()
    error = Revocation(id=random_id(), scope="consent", requested_by="discloser", consent_id=one.grant.data.consent.id)
    data = RevocationData(
        **town.signed(), client_id=one.client, publisher=Party(organization=OUTREACH), revocation=error
    )
    await town.says(ConsentEnteredInError(**context(random_id()), data=data))
    await town.produce(one.client, b"rubbish")
    await town.start()
    await waits(town, one)
    await town.says(restated(town, one))
    assert await words(town, one, 2, ReferralConsentEnded) == ["client-in-doubt", "requested"]
    said = [event.id for _, event in await town.placed(one.referral) if isinstance(event, ReferralConsentEnded)]
    assert len(set(said)) == 2, "what nobody heard is no copy of what was heard"
    await all_heard(town)


async def test_of_a_consent_that_was_renewed_meanwhile_the_end_is_not_said_again(town: Town) -> None:
    one = await permitted(town)
    await town.stop()
    await town.says(expired_record(town, one.grant))
    await town.produce(one.client, b"rubbish")
    await town.start()
    await waits(town, one)
    renewed = renewal(town, one.grant)
    await town.says(renewed)
    await wait_until_async(lambda: is_applied(town, renewed), what="the renewal to count")
    await town.says(restated(town, one._replace(grant=renewed)))
    await all_heard(town)
    assert await words(town, one, 1, ReferralConsentEnded) == ["client-in-doubt"]


def is_applied(town: Town, renewed: ConsentGranted) -> bool:
    """Whether the boundary's answer to a renewal was read."""
    query = "SELECT FROM consents_ended WHERE consent_id = %s AND version = %s AND reason IS NULL AND applied"
    with direct(town.settings.database_url) as connection:
        consent = renewed.data.consent
        return connection.execute(query, [consent.id, consent.version]).fetchone() is not None


async def test_what_was_denied_for_another_reason_is_not_said_again(town: Town) -> None:
    one = await permitted(town)
    await town.grant(one.client, event=ConsentExcluded, purposes=(), expires_at=None)
    await enter_in_error(town, one)
    assert await words(town, one, 1) == ["excluded"]
    await town.says(restated(town, one))
    await town.all_read()
    await all_heard(town)
    assert await words(town, one, 1) == ["excluded"]
