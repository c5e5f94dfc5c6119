"""In doubt nothing crosses; soon consent and governance say what holds, a referral goes on, and replay agrees."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer

from policy.murmur2 import partition_of
from services.kit import keys
from services.kit.broker import Record, read_all
from services.kit.signing import Signer
from tests.support.damage import DAMAGES, Bad
from tests.support.log import PARTITIONS, decode_event
from tests.support.providers import SAID as EVERYTHING
from tests.support.providers import Providers
from tests.support.replayed import replayed
from tests.support.stack import StackProcess
from tests.support.tables import direct
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.asyncio(loop_scope="package")

IN_ERROR = "referral.entered_in_error"
OF_REQUEST = (
    "FROM deliveries d JOIN decisions ON decisions.number = d.decision WHERE referral_id = %s AND verdict = 'permit'"
)
SAID = {"identity": {"first_name": "Tomasa"}, "household": EVERYTHING["household"]}


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def planting(running_stack: StackProcess) -> AsyncIterator[AIOKafkaProducer]:
    async with AIOKafkaProducer(bootstrap_servers=running_stack.kafka, acks="all") as producer:
        yield producer


class Referred:
    """A client of outreach whose name the shelter may know, referred to it, and told of."""

    def __init__(self, stack: StackProcess, town: Providers, producer: AIOKafkaProducer) -> None:
        self.stack = stack
        self.town = town
        self.producer = producer
        self.client = self.referral = ""
        self.updates = 0

    async def begin(self) -> "Referred":
        outreach, shelter = self.town.outreach, self.town.shelter
        self.client = await outreach.client()
        await outreach.grant(shelter, self.client, "identity", "household")
        self.referral = await outreach.refer(shelter, self.client, segments=SAID)
        await shelter.told(self.client, "referral.requested")
        return self

    @property
    def partition(self) -> int:
        return partition_of(self.client.encode(), PARTITIONS)

    async def update(self) -> int:
        """Say it all again, as its originator may; the answer's status."""
        body = {"client_id": self.client, "segments": SAID}
        path = f"/referrals/{self.referral}/segments"
        return (await self.town.outreach.call("POST", "referrals", path, body)).status_code

    async def accept(self) -> None:
        """Accept it, which seals nothing: its originator would be told."""
        await self.town.shelter.post("referrals", f"/referrals/{self.referral}/transitions", {"to": "accepted"})

    async def enter_in_error(self) -> None:
        path = f"/referrals/{self.referral}/transitions"
        await self.town.outreach.post("referrals", path, {"to": "entered_in_error"})

    async def delivery(self, state: str) -> None:
        """Wait until the request's delivery to the shelter is in this state."""

        def found() -> bool:
            with direct(self.stack.database("webhooks")) as connection:
                return connection.execute(f"SELECT d.state {OF_REQUEST}", [self.referral]).fetchall() == [(state,)]

        await wait_until_async(found, what=f"the delivery to be {state}")

    def retry(self) -> None:
        """Let the request's next attempt be now, whatever came of the one before."""
        with direct(self.stack.database("webhooks")) as connection:
            [(number,)] = connection.execute(f"SELECT d.number {OF_REQUEST}", [self.referral]).fetchall()
            again = "UPDATE deliveries SET state = 'pending', due_at = now() WHERE number = %s"
            connection.execute(again, [number])

    async def crosses(self) -> dict[str, Any]:
        """Update, and return what the shelter is told then."""
        before = len(self.town.shelter.heard(self.client, "referral.updated"))

        async def updated() -> bool:  # consent may see a moment later than this test that a doubt has ended
            return await self.update() in {200, 201}

        await wait_until_async(updated, what="an update to be taken")
        told: dict[str, Any] = (await self.town.shelter.told(self.client, "referral.updated", before + 1))[-1]
        return told

    async def is_denied(self, reason: str, act: Callable[[], Awaitable[object]]) -> None:
        """Do something, and wait for the denial, of which the shelter hears nothing."""
        before = self.town.shelter.heard(self.client)
        end = len(await self.records("client-events"))
        await act()

        async def decisions() -> list[dict[str, Any]]:
            found = [json.loads(one.value or b"") for one in await self.records("disclosures", end)]
            return [one for disclosure in found for one in disclosure.get("decisions", [])]

        [decision] = await wait_until_async(decisions, what="the decision")
        assert (decision["verdict"], decision["reasons"]) == ("deny", [reason])
        assert self.town.shelter.heard(self.client) == before

    async def records(self, topic: str, start: int = 0) -> list[Record]:
        runs = read_all(self.stack.kafka, topic, {self.partition: start})
        return [record async for run in runs for record in run]

    async def said(self, type_: str, key: str) -> bytes:
        """The newest record of a type under a key."""
        ending = f'"{type_}"}}'.encode()
        found = [one.value or b"" for one in await self.records("client-events") if one.key == key.encode()]
        return [value for value in found if value.endswith(ending)][-1]

    async def plant(self, bad: Bad) -> None:
        partition = self.partition if bad.partition is None else bad.partition
        await self.producer.send_and_wait("client-events", bad.value, bad.key.encode(), partition)

    async def restated(self, type_: str, key: str, count: int) -> None:
        ending = f'"{type_}"}}'.encode()

        async def there() -> bool:
            found = [one for one in await self.records("client-events") if one.key == key.encode()]
            return len([one for one in found if (one.value or b"").endswith(ending)]) >= count

        await wait_until_async(there, what=type_)


async def test_a_client_is_denied_in_doubt_and_goes_on_after_it_with_what_was_revoked_meanwhile_revoked(
    running_stack: StackProcess, town: Providers, planting: AIOKafkaProducer
) -> None:
    one = await Referred(running_stack, town, planting).begin()
    grant = await one.said("consent.granted", one.client)
    stop = {"scope": "category", "category": "household", "requested_by": "client"}
    with kept(running_stack, "consent", "SELECT FROM clients WHERE id = %s FOR UPDATE", one.client):
        revoking = asyncio.create_task(
            town.shelter.call("POST", "consent", f"/clients/{one.client}/revocation", stop, wait=20)
        )
        await waiting(running_stack, "consent")
        await one.plant(DAMAGES[0](one.client, grant))
        await one.is_denied("client-in-doubt", one.update)
    assert (await revoking).status_code == 200
    await one.restated("consent.restated", one.client, 1)
    message = await one.crosses()
    assert sorted(message["data"]["shared"]) == ["identity", "need"]


async def test_whatever_left_it_in_doubt_the_same_referral_goes_on(
    running_stack: StackProcess, town: Providers, planting: AIOKafkaProducer
) -> None:
    async def hurt(number: int) -> None:
        one = await Referred(running_stack, town, planting).begin()
        await one.plant(DAMAGES[number](one.client, await one.said("consent.granted", one.client)))
        await one.restated("consent.restated", one.client, 1)
        assert sorted((await one.crosses())["data"]["shared"]) == ["household", "identity", "need"]

    await asyncio.gather(*(hurt(number) for number in range(len(DAMAGES))))


async def test_what_was_entered_in_error_in_doubt_never_leaves_and_its_copy_is_asked_back_after_it(
    running_stack: StackProcess, town: Providers, planting: AIOKafkaProducer
) -> None:
    """A permit that still waits for its next attempt: tried again in the doubt, and after it."""
    one = Referred(running_stack, town, planting)
    outreach, shelter = town.outreach, town.shelter
    one.client = await outreach.client()
    await outreach.grant(shelter, one.client, "identity", "household")
    shelter.desk.answers = [(500, {"Retry-After": "3600"})]
    one.referral = await outreach.refer(shelter, one.client, segments=SAID)
    await shelter.told(one.client, "referral.requested")
    await one.delivery("pending")
    with in_doubt_for_long(running_stack, one.client):
        await one.plant(DAMAGES[0](one.client, await one.said("consent.granted", one.client)))
        await one.is_denied("client-in-doubt", one.enter_in_error)
        one.retry()
        await one.delivery("withheld")
        assert shelter.heard(one.referral, IN_ERROR) == [], "in doubt nobody hears anything"
    await one.restated("consent.restated", one.client, 1)
    [word] = await shelter.told(one.referral, IN_ERROR)
    assert (word["data"]["status"], word["data"]["obligations"]) == ("entered_in_error", ["withdraw-copy"])
    one.retry()
    await one.delivery("withheld")
    assert len(shelter.requests(one.client)) == 1, "the one that was tried before the error"


async def test_a_partition_is_denied_in_doubt_of_control_and_goes_on_under_the_agreements_in_force(
    running_stack: StackProcess, town: Providers, planting: AIOKafkaProducer
) -> None:
    one = await Referred(running_stack, town, planting).begin()
    key = f"control/{town.agreement}"
    agreement = decode_event(await one.said("agreement.activated", key))
    forged = Signer("forger", keys.generate()).sign(agreement, log_id="log", key="control/forged")  # type: ignore[arg-type]
    with kept(running_stack, "governance", "SELECT FROM log_identity FOR UPDATE"):
        await one.plant(Bad("control/rubbish", b"rubbish"))
        await one.plant(Bad("control/forged", forged))
        await one.is_denied("control-in-doubt", one.accept)
        assert await one.update() == 503, "nor is anything sealed"
    await one.restated("control.restated", "control/restated", 1)
    assert sorted((await one.crosses())["data"]["shared"]) == ["household", "identity", "need"]
    shown = await town.outreach.get("governance", f"/agreements/{town.agreement}")
    assert shown["status"] == "active"


async def test_an_auditor_gets_the_same_bytes(running_stack: StackProcess, town: Providers) -> None:
    assert town.agreement
    report = replayed(running_stack)
    assert (report["differences"], report["undecided"]) == ([], 0)


@contextmanager
def kept(stack: StackProcess, service: str, lock: str, *values: str) -> Iterator[None]:
    """Keep the rows of a lock as they are, so that nothing is restated while the block runs."""
    with direct(stack.database(service)) as connection, connection.transaction():
        connection.execute(lock.encode(), values)
        yield


@contextmanager
def in_doubt_for_long(stack: StackProcess, client: str) -> Iterator[None]:
    """Let consent believe that it has just restated a client, so that a doubt lasts as long as the block."""
    say = "UPDATE clients SET restated_at = {} WHERE id = %s"
    with direct(stack.database("consent")) as connection:
        connection.execute(say.format("now() + interval '1 hour'"), [client])
        yield
        connection.execute(say.format("NULL"), [client])


async def waiting(stack: StackProcess, service: str) -> None:
    """Wait until a transaction of the service waits for a lock."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with direct(stack.database(service)) as connection:
        await wait_until_async(lambda: connection.execute(query).fetchone() == (1,), what="a wait for a lock")
