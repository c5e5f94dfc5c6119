"""The end of a version of a consent: it says of which, and is not said once a later one is in force."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
import pytest_asyncio

from policy import canonical
from policy.parse import parse
from schemas.events import ConsentEnded
from schemas.records import ConsentGranted
from tests.conftest import Databases
from tests.integration.test_referrals_ended import NAME, all_said, ends, expired, expired_record, in_error, said
from tests.support.chronicle import OUTREACH
from tests.support.town import Town, founded

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(postgres: Databases) -> AsyncIterator[Town]:
    async with founded(postgres.create_database("referrals")) as found:
        await found.start()
        yield found
        await found.stop()


async def permitted(town: Town) -> tuple[str, ConsentGranted]:
    """A referral of which a permit crossed, and the consent under which it did."""
    client = town.keys.client(OUTREACH)
    grant = granted(await town.grant(client, "identity"))
    referral = await town.refer(members=[town.member(client, identity=NAME)])
    await town.crossing(referral, verdict="permit")
    return referral, grant


def granted(value: bytes) -> ConsentGranted:
    event = parse(value)
    assert isinstance(event, ConsentGranted)
    return event


def renewal(town: Town, grant: ConsentGranted, valid_from: datetime | None = None) -> ConsentGranted:
    """Its next version."""
    known = grant.data.consent
    consent = msgspec.structs.replace(known, version=known.version + 1, valid_from=valid_from or known.valid_from)
    return msgspec.structs.replace(grant, data=msgspec.structs.replace(grant.data, **town.signed(), consent=consent))


async def test_what_was_renewed_while_the_service_was_away_has_not_ended(town: Town) -> None:
    """It reads the end and the renewal together; said afterwards, the end would contradict what was told again."""
    referral, grant = await permitted(town)
    await town.stop()
    await town.says(expired_record(town, grant))
    renewed = granted(await town.says(renewal(town, grant)))
    await town.start()
    await all_said(town)
    assert await ends(town, referral) == []
    await town.says(expired_record(town, renewed))
    (event,) = await said(town, referral)
    assert event.data.consent_ended == ConsentEnded(id=grant.data.consent.id, reason="expired", version=2)


async def test_an_end_said_again_with_another_order_is_the_same_of_its_version(town: Town) -> None:
    """As consent's database says it, restored from before it had."""
    referral, grant = await permitted(town)
    value = canonical.encode(grant)
    await expired(town, value)
    (event,) = await said(town, referral)
    assert event.data.consent_ended == ConsentEnded(id=grant.data.consent.id, reason="expired", version=1)
    await expired(town, value)
    await all_said(town)
    assert len(await ends(town, referral)) == 1


async def test_a_forged_renewal_keeps_no_end_back(town: Town) -> None:
    referral, grant = await permitted(town)
    await town.stop()
    end, forged = expired_record(town, grant), renewal(town, grant)
    await town.says(end)
    await town.produce(grant.data.client_id, canonical.encode(forged))
    await town.start()
    assert len(await said(town, referral)) == 1


async def test_a_renewal_that_is_not_in_force_yet_leaves_the_end_as_it_was(town: Town) -> None:
    referral, grant = await permitted(town)
    await town.stop()
    await town.says(expired_record(town, grant))
    await town.says(renewal(town, grant, datetime.now(UTC) + timedelta(days=1)))
    await town.start()
    (event,) = await said(town, referral)
    assert event.data.consent_ended is not None
    assert event.data.consent_ended.version == 1


async def test_what_is_in_error_is_so_in_every_version_renewed_or_not(town: Town) -> None:
    referral, grant = await permitted(town)
    await town.stop()
    await in_error(town, grant.data.client_id, grant.data.consent.id)
    await town.says(renewal(town, grant))
    await town.start()
    (event,) = await said(town, referral)
    assert event.data.consent_ended == ConsentEnded(id=grant.data.consent.id, reason="entered-in-error")
