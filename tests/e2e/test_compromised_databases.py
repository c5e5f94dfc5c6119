"""What whoever may write one service's tables could do with them, and what the other decider keeps shut."""

import hashlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from msgspec.structs import replace

from policy import canonical
from schemas.records import ConsentGranted
from services.kit.keys import random_id
from tests.support.intruder import Intruder, intruding
from tests.support.providers import Providers, signed_in
from tests.support.stack import StackProcess
from tests.support.tables import direct

pytestmark = pytest.mark.asyncio(loop_scope="package")


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def reader(running_stack: StackProcess) -> AsyncIterator[Intruder]:
    async with intruding(running_stack, "audit") as intruder:
        yield intruder


async def permitting(reader: Intruder, town: Providers) -> ConsentGranted:
    client = await town.outreach.client()
    await town.outreach.grant(town.shelter, client, "identity")
    event: ConsentGranted = await reader.newest("consent.granted", client)
    return event


def copy_consents(stack: StackProcess, source: str, target: str) -> None:
    with direct(stack.database("consent")) as connection:
        query = "UPDATE clients SET consents = (SELECT consents FROM clients WHERE id = %s) WHERE id = %s"
        assert connection.execute(query, [source, target]).rowcount == 1


def put_in_the_outbox(stack: StackProcess, like: ConsentGranted, client: str) -> None:
    """What consent's relay will sign, as it signs whatever stands there."""
    data = replace(like.data, client_id=client, order=int(time.time() * 1_000_000), key_id="-", signature="-")
    body = canonical.encode(replace(like, id=random_id(), data=data))
    with direct(stack.database("consent")) as connection:
        row = [client, "client-events", client.encode(), body]
        connection.execute("INSERT INTO outbox (aggregate, topic, key, body) VALUES (%s, %s, %s, %s)", row)
        connection.execute("NOTIFY outbox")


def catch_up(stack: StackProcess, client: str) -> None:
    """Let consent's row of the client know of what the log has."""
    with direct(stack.database("consent")) as connection:
        now = int(time.time() * 1_000_000)
        assert connection.execute("UPDATE clients SET last_order = %s WHERE id = %s", [now, client]).rowcount == 1


async def unnamed(town: Providers, client: str) -> None:
    """Refer the client, and see that the shelter hears of somebody unnamed."""
    crossing = await town.outreach.crossing(await town.outreach.refer(town.shelter, client))
    [message] = await town.shelter.told(crossing["reference"], "referral.requested")
    assert set(message["data"]["shared"]) == {"need"}
    assert town.shelter.requests(client) == []


async def test_consents_written_into_its_tables_alone_open_nothing(
    running_stack: StackProcess, town: Providers, reader: Intruder
) -> None:
    """The custodian would say yes; the boundary decides from the log, where nothing was said."""
    client = await town.outreach.client()
    copy_consents(running_stack, (await permitting(reader, town)).data.client_id, client)
    await unnamed(town, client)


async def test_consents_written_into_its_outbox_alone_open_nothing(
    running_stack: StackProcess, town: Providers, reader: Intruder
) -> None:
    """It signs them, so the boundary says yes; the custodian decides from its own tables, which are behind that log."""
    like, client = await permitting(reader, town), await town.outreach.client()
    put_in_the_outbox(running_stack, like, client)
    await reader.newest("consent.granted", client)
    silent = await town.outreach.refer(town.shelter, client)
    await unnamed(town, await town.outreach.client())
    view = await town.outreach.get("referrals", f"/referrals/{silent}")
    assert view["crossing"][0]["delivered_at"] is None, "not even the need goes while the row is behind the log"
    catch_up(running_stack, client)
    reference = (await town.outreach.crossing(silent))["reference"]
    [message] = await town.shelter.told(reference, "referral.requested")
    assert set(message["data"]["shared"]) == {"need"}
    assert town.shelter.requests(client) == []


async def test_what_who_writes_consents_database_could_do_is_permit_anything(
    running_stack: StackProcess, town: Providers, reader: Intruder
) -> None:
    like, client = await permitting(reader, town), await town.outreach.client()
    copy_consents(running_stack, like.data.client_id, client)
    put_in_the_outbox(running_stack, like, client)
    catch_up(running_stack, client)
    await reader.newest("consent.granted", client)
    await town.outreach.refer(town.shelter, client)
    [message] = await town.shelter.told(client, "referral.requested")
    assert "identity" in message["data"]["shared"]
    mine = await town.outreach.get("consent", "/consents", client_id=client)
    assert mine["items"] == [], "how it shows: a disclosure rests on a consent that its discloser never recorded"


async def test_what_who_writes_webhooks_database_could_do_is_have_messages_sent_elsewhere(
    running_stack: StackProcess, town: Providers
) -> None:
    client = await town.outreach.client()
    await town.outreach.grant(town.shelter, client, "identity")
    redirect = "UPDATE endpoints SET url = %s WHERE id = %s"
    with direct(running_stack.database("webhooks")) as connection:
        connection.execute(redirect, [town.stranger.desk.url, town.shelter.endpoint])
        try:
            await town.outreach.refer(town.shelter, client)
            await town.stranger.desk.wait(len(town.stranger.desk.received) + 1)
            assert client in str([one.raw for one in town.stranger.desk.received])
            shown = await town.shelter.get("webhooks", f"/endpoints/{town.shelter.endpoint}")
            assert shown["url"] == town.stranger.desk.url, "how it shows: the endpoint's owner is shown where it leads"
        finally:
            connection.execute(redirect, [town.shelter.desk.url, town.shelter.endpoint])


async def test_what_who_writes_governances_database_could_do_is_act_as_any_organization(
    running_stack: StackProcess, town: Providers
) -> None:
    credential: dict[str, Any] = {"client_id": f"thief-{random_id()[:8]}", "client_secret": "chosen"}
    made = [credential["client_id"], town.shelter.id, hashlib.sha256(b"chosen").digest()]
    with direct(running_stack.database("governance")) as connection:
        connection.execute(
            "INSERT INTO credentials (client_id, organization, name, scopes, secret_hash, created_at)"
            " VALUES (%s, %s, 'thief', '{inbox:read}', %s, now())",
            made,
        )
    thief = await signed_in("thief", credential, running_stack.services, town.stranger.desk)
    page = await thief.get("webhooks", "/inbox")
    assert page["items"], "it reads what is told to the shelter"
    assert (await thief.call("GET", "consent", "/consents")).status_code == 403, "as far as the scopes it wrote go"
