"""Yesterday's database of consent is restored: nothing widens, and no receipt is surer than anybody can be."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer

from deploy.local.secrets import read_secrets, secrets_path
from policy.murmur2 import partition_of
from policy.state import PartitionState
from policy.step import Fold
from schemas.events import ClientConsents
from services.kit.broker import Record, read_all
from services.kit.keys import random_id
from tests.support.damage import truncated
from tests.support.log import PARTITIONS
from tests.support.providers import Providers, consent, found_community
from tests.support.receiver import receiving
from tests.support.stack import StackProcess, started_stack
from tests.support.waiting import wait_until_async
from tests.support.yesterday import Backup

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

EVERYTHING = {"scope": "all", "requested_by": "client"}


@pytest.fixture(scope="module")
def stack() -> Iterator[StackProcess]:
    with started_stack() as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(stack: StackProcess) -> AsyncIterator[Providers]:
    async with receiving() as receiver:
        yield await found_community(stack, receiver)


class Person:
    """A client whose name is the client's own, referred to the shelter by outreach."""

    def __init__(self, stack: StackProcess, town: Providers) -> None:
        self.stack = stack
        self.town = town
        self.name = f"Canary-{random_id()}"
        self.client = self.referral = ""

    async def begin(self, *, permitted: bool = True) -> "Person":
        outreach, shelter = self.town.outreach, self.town.shelter
        self.client = await outreach.client()
        if permitted:
            await self.permit()
        self.referral = await outreach.refer(shelter, self.client, segments=self.segments)
        if permitted:
            await shelter.told(self.name, "referral.requested")
        return self

    @property
    def segments(self) -> dict[str, Any]:
        return {"identity": {"first_name": self.name}, "household": {"relationship_to_hoh": 1, "household_size": 1}}

    async def permit(self) -> None:
        await self.town.outreach.grant(self.town.shelter, self.client, "identity", "household")

    async def narrow(self, decision: str, **changes: Any) -> str:
        """Refuse or exclude, as it is said at the desk."""
        said = {"decision": decision, "form": {"method": "verbal", "notice_version": "1"}} | changes
        body = consent(self.town.shelter.id, self.client, **said)
        body.pop("expires_at")
        return str((await self.town.outreach.post("consent", "/consents", body, wait=20))["id"])

    async def revoke(self, wait: int = 20) -> dict[str, Any]:
        path = f"/clients/{self.client}/revocation"
        answer = await self.town.outreach.call("POST", "consent", path, EVERYTHING, wait=wait)
        assert answer.status_code == 200, answer.text
        receipt: dict[str, Any] = answer.json()
        return receipt

    async def records(self) -> list[Record]:
        runs = read_all(self.stack.kafka, "client-events", {partition_of(self.client.encode(), PARTITIONS): 0})
        return [record async for run in runs for record in run]

    async def by_the_log(self) -> ClientConsents:
        """What the boundary knows."""
        fingerprint = read_secrets(secrets_path(self.stack.home))["THRESHOLD_ROOT_FINGERPRINT"]
        partition = partition_of(self.client.encode(), PARTITIONS)
        fold = Fold(PartitionState(partition=partition, root_fingerprint=fingerprint))
        for one in await self.records():
            fold.step(one.timestamp_ms, one.key, one.headers, one.value)
        return fold.state.consents_of(self.client)

    async def hurt(self) -> ClientConsents:
        """Damage a copy of a record, wait until the client is restated, and return what holds then."""
        key = self.client.encode()
        grant = next(one.value or b"" for one in await self.records() if one.key == key and _is(one, "consent.granted"))
        async with AIOKafkaProducer(bootstrap_servers=self.stack.kafka, acks="all") as producer:
            await producer.send_and_wait("client-events", truncated(self.client, grant).value, key)

        async def restated() -> ClientConsents | None:
            said = [one for one in await self.records() if one.key == key and _is(one, "consent.restated")]
            held = await self.by_the_log()
            return held if said and not held.in_doubt else None

        return await wait_until_async(restated, what="the client to be restated", deadline=60)


def _is(record: Record, type_: str) -> bool:
    return (record.value or b"").endswith(f'"{type_}"}}'.encode())


async def read_inbox(town: Providers) -> str:
    """All that the shelter may read now: the custodian is asked for each of it, and nobody else."""
    after, pages = "", ""
    while True:
        page = await town.shelter.get("webhooks", "/inbox", limit=50, **({"after": after} if after else {}))
        pages += json.dumps(page)
        if not (after := page["next"] or ""):
            return pages


async def test_what_narrowed_since_yesterday_stays_so(stack: StackProcess, town: Providers) -> None:
    revoked, refused, excluded, left, late = [await Person(stack, town).begin(permitted=i < 4) for i in range(5)]
    before = await read_inbox(town)
    assert all(one.name in before for one in (revoked, refused, excluded, left))
    backup = Backup(stack, "consent")
    receipt = await revoked.revoke()
    assert (receipt["state"], receipt["in_doubt"]) == ("effective", 0)
    refusal = await refused.narrow("refuse")
    exclusion = await excluded.narrow("exclude", categories=[], purposes=[])
    await late.permit()
    await town.shelter.told(late.name, "referral.updated")
    backup.restore()
    after = await read_inbox(town)
    assert [one.name in after for one in (revoked, refused, excluded, left)] == [False, False, False, True]
    assert late.name not in after, "a permission that was lost stays lost"

    shown = await town.outreach.get("consent", f"/clients/{revoked.client}/revocation")
    assert (shown["id"], shown["state"], shown["others"]) == (receipt["id"], "effective", "in_doubt")
    assert shown["in_doubt"] > 0, "what had been given out before it was lost with it"
    for id_, decision in ((refusal, "refuse"), (exclusion, "exclude")):
        listed = await town.outreach.get("consent", f"/consents/{id_}")
        assert (listed["decision"], listed["state"], listed["status"]) == (decision, "accepted", "active")

    await revoked.narrow("refuse", categories=["household"])  # with an order above all that was lost
    held = [await one.hurt() for one in (revoked, refused, excluded)]
    assert [(len(one.revocations), len(one.refusals), len(one.exclusions)) for one in held] == [
        (1, 1, 0),
        (0, 1, 0),
        (0, 0, 1),
    ]
    assert (await late.hurt()).grants == (), "nor does the log keep it"
    assert not [name for name in (revoked.name, refused.name, excluded.name) if name in await read_inbox(town)]


async def test_a_declared_restoration_leaves_nothing_given_out_and_no_card_in_force(
    stack: StackProcess, town: Providers
) -> None:
    one = await Person(stack, town).begin()
    code = (await town.outreach.post("consent", f"/clients/{one.client}/code"))["code"]
    backup = Backup(stack, "consent")
    ended = await town.outreach.call("DELETE", "consent", f"/clients/{one.client}/code")
    assert ended.status_code == 204
    assert "start consent" in backup.restore(declared=True)
    typed = await town.shelter.call("POST", "consent", "/clients/code-links", {"code": code})
    assert typed.status_code == 404, typed.text
    assert (await one.revoke())["state"] == "effective"
