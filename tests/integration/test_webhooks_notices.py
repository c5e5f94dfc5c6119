"""That a consent ends soon is told to the organization that recorded it, and to nobody else, whoever it names."""

from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio

from schemas.notices import ConsentExpiring, EndingConsent
from services.kit.keys import random_id
from tests.conftest import Databases
from tests.support.hooked import Endpoint, Hooked, hooked

pytestmark = pytest.mark.asyncio(loop_scope="module")
TYPE = "consent.expiring"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(postgres: Databases) -> AsyncIterator[Hooked]:
    async with hooked(postgres.create_database("webhooks")) as found, found.serving():
        yield found


async def endpoint(town: Hooked, organization: str, *types: str) -> Endpoint:
    desk = town.receiver.desk(random_id())
    made = (await town.call(organization, "POST", "/endpoints", {"url": desk.url, "types": types})).json()
    return Endpoint(organization, made["id"], made["secret"], desk)


def expiring(recorder: str, to: str) -> ConsentExpiring:
    data = EndingConsent(
        consent_id=random_id(),
        client_id=random_id(),
        recorder=recorder,
        to=(to,),
        expires_at="2026-12-22T12:00:00Z",
        days_left=14,
    )
    time = "2026-12-08T12:00:01Z"
    return ConsentExpiring(id=random_id(), source="/consent", time=time, specversion="1.0", data=data)


async def test_its_recorder_alone_is_told_once_though_the_record_comes_twice(town: Hooked) -> None:
    outreach, shelter = f"outreach-{random_id()}", f"shelter-{random_id()}"
    everything, named = await endpoint(town, outreach, "*"), await endpoint(town, outreach, TYPE)
    others = [await endpoint(town, shelter, "*", TYPE), await endpoint(town, outreach, "referral.requested")]
    event = expiring(outreach, shelter)
    for said in (event, event, expiring(outreach, shelter)):
        await town.producer.send_and_wait("consent-notices", msgspec.json.encode(said), said.data.consent_id.encode())
    for each in (everything, named):
        [received] = [one for one in await each.desk.wait(2) if event.data.consent_id.encode() in one.raw]
        body = received.verified(each.secret)
        assert (body["type"], body["timestamp"]) == (TYPE, event.time)
        assert body["data"] == {
            "consent_id": event.data.consent_id,
            "client_id": event.data.client_id,
            "to": [shelter],
            "expires_at": "2026-12-22T12:00:00Z",
            "days_left": 14,
        }
        await town.wait_states(each, "delivered", "delivered")
    for other in others:
        assert town.rows("SELECT id FROM deliveries WHERE endpoint_id = %s", other.id) == []
