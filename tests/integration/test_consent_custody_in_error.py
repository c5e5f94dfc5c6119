"""Of a referral that was entered in error the custodian opens nothing, whatever the boundary decided of that word."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from policy import canonical
from schemas.events import Party, Recipient, Referral, ReferralData
from schemas.records import ReferralEnteredInError
from services.kit.keys import random_id
from tests.conftest import Databases
from tests.support.control_records import OUTREACH, SHELTER
from tests.support.log import context
from tests.support.registry import Registry, founded

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def registry(postgres: Databases) -> AsyncIterator[Registry]:
    async with founded(postgres) as found:
        yield found


async def test_of_a_referral_in_error_nothing_opens_from_its_word_on_the_log_on(registry: Registry) -> None:
    client = await registry.client()
    await registry.permit(client)
    sealed, other = await registry.sealed(client), await registry.sealed(client)
    assert (await registry.release(sealed.asked()))["verdict"] == "permit"
    outreach = Party(organization=OUTREACH)
    said = Referral(id=sealed.context.referral_id, originator=outreach, version=2, status="entered_in_error")
    data = ReferralData(
        client_id=client,
        publisher=outreach,
        recipients=(Recipient(organization=SHELTER),),
        purpose=sealed.context.purpose,
        referral=said,
    )
    value = canonical.encode(ReferralEnteredInError(**context(random_id()), data=data))
    for damaged, reason in ((value.replace(b",", b", ", 1), None), (value, "entered-in-error")):
        placed = await registry.producer.send_and_wait("client-events", damaged, client.encode())
        await registry.view.reached({placed.partition: placed.offset + 1})
        assert (await registry.release(sealed.asked(categories=["need", "identity"])))["reason"] == reason
    assert await refused(registry, sealed.asked(verdict="deidentified"))
    assert (await registry.release(sealed.status("entered_in_error")))["verdict"] == "status"
    assert (await registry.release(other.asked()))["verdict"] == "permit"
    async with replace(registry).serving() as again:
        assert await refused(again, sealed.asked()), "nor is it forgotten"


async def refused(registry: Registry, asked: dict[str, Any]) -> bool:
    """Whether nothing is given out, and why."""
    released = await registry.release(asked)
    said = released["verdict"], released["reason"], released["release_id"], released["keys"], released["categories"]
    return said == ("withheld", "entered-in-error", None, [], [])
