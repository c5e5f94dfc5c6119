"""Yesterday's database of governance is restored: what was ended or taken away since stays so, and so does its loss."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer

from policy.control import Control
from tests.support.governance import controls, grant
from tests.support.providers import Provider, Providers, found_community, signed_in
from tests.support.receiver import Receiver, receiving
from tests.support.stack import StackProcess, started_stack
from tests.support.waiting import wait_until_async
from tests.support.yesterday import Backup

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

TERM = {"purposes": ["shelter-placement"], "categories": ["identity"], "deidentified": True}


@pytest.fixture(scope="module")
def stack() -> Iterator[StackProcess]:
    with started_stack() as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(stack: StackProcess, receiver: Receiver) -> Providers:
    return await found_community(stack, receiver)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def admin(stack: StackProcess, receiver: Receiver) -> Provider:
    return await signed_in("admin", stack.admin, stack.services, receiver.desk("admin"))


async def agreed(*parties: Provider) -> str:
    """Put an agreement in force from the first party to the second."""
    term = TERM | {"from": [parties[0].id], "to": [parties[1].id]}
    proposed = {"title": "Beds", "parties": [one.id for one in parties], "terms": [term]}
    made = str((await parties[0].post("governance", "/agreements", proposed))["id"])
    answers = [await one.post("governance", f"/agreements/{made}/approvals", wait=20) for one in parties]
    assert answers[-1]["status"] == "active"
    return made


async def token(stack: StackProcess, credential: dict[str, Any]) -> httpx.Response:
    form = grant(credential["client_id"], credential["client_secret"])
    async with httpx.AsyncClient(trust_env=False) as http:
        return await http.post(f"{stack.services['governance']}/oauth/token", data=form)


async def settled(stack: StackProcess) -> Control:
    """Wait until every partition has been restated; what they all say then."""

    async def same() -> Control | None:
        found = await asyncio.to_thread(controls, stack)
        alike = len({one.floor for one in found}) == 1 and not any(one.in_doubt for one in found)
        return found[0] if alike and found[0].floor else None

    return await wait_until_async(same, what="all partitions to be restated", deadline=60)


async def test_what_was_ended_since_yesterday_stays_ended(
    stack: StackProcess, town: Providers, admin: Provider
) -> None:
    outreach, shelter, haven, stranger = town.outreach, town.shelter, town.haven, town.stranger
    left = await agreed(outreach, shelter, stranger)
    superseded = await agreed(outreach, stranger)
    about = f"/organizations/{stranger.id}"
    credential = {"name": "system", "scopes": ["agreements:approve"]}
    kept, revoked = [await admin.post("governance", f"{about}/credentials", credential) for _ in range(2)]
    backup = Backup(stack, "governance")

    ended = await shelter.post("governance", f"/agreements/{town.agreement}/suspension", wait=20)
    assert ended["status"] == "suspended"
    await stranger.post("governance", f"/agreements/{left}/departure", wait=20)
    successor = await outreach.post(
        "governance",
        "/agreements",
        {
            "title": "Beds",
            "parties": [outreach.id, stranger.id],
            "terms": [TERM | {"from": [outreach.id], "to": [stranger.id]}],
            "supersedes": superseded,
        },
    )
    for one in (outreach, stranger):
        await one.post("governance", f"/agreements/{successor['id']}/approvals", wait=20)
    gone = await admin.call("DELETE", "governance", f"{about}/credentials/{revoked['client_id']}")
    hidden = {"victim_service_provider": True}
    changed = await admin.call("PATCH", "governance", about, hidden)
    assert (gone.status_code, changed.status_code) == (204, 200)
    newcomer = {"id": "newcomer", "name": "Newcomer", "kind": "provider"}
    await admin.post("governance", "/organizations", newcomer | hidden | {"hipaa_covered": False})
    await wait_until_async(lambda: _knows(stack, "newcomer"), what="the newcomer")

    backup.restore()
    log = await settled(stack)
    assert set(log.agreements) == {left}, "neither what was ended nor what the tables have lost is in force"
    assert stranger.id not in log.agreements[left].parties
    assert log.organizations[stranger.id].victim_service_provider
    assert "newcomer" in log.organizations

    for id_ in (town.agreement, superseded):
        shown = await _shown(admin, id_, "suspended")
        assert shown["in_force"] == []
    assert [one["organization"] for one in (await _shown(admin, left, "active"))["departures"]] == [stranger.id]
    assert (await admin.get("governance", about))["victim_service_provider"]
    assert (await admin.call("GET", "governance", f"/agreements/{successor['id']}")).status_code == 404

    assert [(await token(stack, one)).status_code for one in (kept, revoked)] == [401, 401]
    for one in (kept, revoked):
        confirmed = f"{about}/credentials/{one['client_id']}/confirmation"
        assert (await admin.call("POST", "governance", confirmed)).status_code == 204
        assert (await token(stack, one)).status_code == 200

    await _said_later(admin, haven, log)
    async with AIOKafkaProducer(bootstrap_servers=stack.kafka, acks="all") as producer:
        await producer.send_and_wait("client-events", b"rubbish", b"control/rubbish", 5)
    restated = await wait_until_async(lambda: _restated_after(stack, log.floor), what="a restatement", deadline=60)
    assert set(restated.agreements) == {left}


async def _shown(admin: Provider, agreement: str, status: str) -> dict[str, Any]:
    async def found() -> dict[str, Any] | None:
        shown: dict[str, Any] = await admin.get("governance", f"/agreements/{agreement}")
        return shown if shown["status"] == status else None

    return await wait_until_async(found, what=f"an agreement that is {status}")


async def _said_later(admin: Provider, organization: Provider, log: Control) -> None:
    """What is said after all that has an order above it."""
    changed = await admin.call("PATCH", "governance", f"/organizations/{organization.id}", {"name": "Renamed"})
    assert changed.status_code == 200
    assert log.organizations[organization.id].name != "Renamed"


async def _knows(stack: StackProcess, organization: str) -> bool:
    return all(organization in one.organizations for one in await asyncio.to_thread(controls, stack))


async def _restated_after(stack: StackProcess, floor: int) -> Control | None:
    found = await asyncio.to_thread(controls, stack)
    done = all(one.floor > floor and not one.in_doubt for one in found)
    return found[5] if done else None


async def test_a_declared_restoration_lets_no_credential_and_no_approval_of_a_draft_count(
    stack: StackProcess, town: Providers, admin: Provider
) -> None:
    path = f"/organizations/{town.haven.id}/credentials"
    made = await admin.post("governance", path, {"name": "system", "scopes": ["agreements:approve"]})
    parties = [town.outreach.id, town.haven.id]
    proposed = {"title": "Beds", "parties": parties, "terms": [TERM | {"from": parties[:1], "to": parties[1:]}]}
    draft = f"/agreements/{(await town.outreach.post('governance', '/agreements', proposed))['id']}"
    assert (await town.haven.post("governance", f"{draft}/approvals"))["approvals"]
    backup = Backup(stack, "governance")
    assert (await admin.call("DELETE", "governance", f"{path}/{made['client_id']}")).status_code == 204
    told = backup.restore(declared=True)
    assert f"{town.haven.id} {made['client_id']} system" in told
    assert (await admin.get("governance", draft))["approvals"] == []
    assert (await token(stack, made)).status_code == 401
    assert (await token(stack, stack.admin)).status_code == 200, "the administrator's own is no row"
