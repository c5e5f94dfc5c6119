"""A client's day: what crosses to whom without consent, with it, and after the client says stop."""

import asyncio
import json
import signal
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.providers import CALL_BACK, NEED_AS_TOLD, PURPOSE, SAID, Provider, Providers, referral
from tests.support.replayed import replayed
from tests.support.stack import StackProcess
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.asyncio(loop_scope="package")

CANARY = "Canary-Magdalena"


async def test_without_consent_only_the_need_and_whom_to_call_arrive(town: Providers) -> None:
    outreach, shelter = town.outreach, town.shelter
    before = {telltale: shelter.requests(telltale) for telltale in (CANARY, "1988-04-17")}
    client = await outreach.client()
    made = await outreach.refer(shelter, client)
    reference = (await outreach.crossing(made))["reference"]
    [message] = await shelter.told(reference, "referral.requested")
    assert set(message) == {"type", "timestamp", "data"}
    assert message["data"] == {
        "verdict": "deidentified",
        "publisher": outreach.id,
        "purpose": PURPOSE,
        "reference": reference,
        "shared": {"need": NEED_AS_TOLD},
        "call_back": CALL_BACK,
    }
    assert shelter.requests(client) == shelter.requests(made) == []
    assert {telltale: shelter.requests(telltale) for telltale in before} == before
    assert await shelter.get("referrals", f"/referrals/{reference}") == {"id": reference, "status": "requested"}
    assert (await shelter.call("GET", "referrals", f"/referrals/{made}")).status_code == 404


async def test_after_consent_exactly_what_it_names_follows_by_itself(town: Providers) -> None:
    outreach, shelter = town.outreach, town.shelter
    client = await outreach.client()
    made = await outreach.refer(shelter, client)
    reference = (await outreach.crossing(made))["reference"]
    began = time.monotonic()
    consent = await outreach.grant(shelter, client, "identity", "household")
    [message] = await shelter.told(client, "referral.updated")
    assert time.monotonic() - began < 5, "a second or so, on a machine with other work"
    data = message["data"]
    assert data["shared"] == {
        "need": NEED_AS_TOLD,
        "identity": SAID["identity"],
        "household": SAID["household"],
    }
    assert (data["client_id"], data["referral_id"], data["reference"]) == (client, made, reference)
    assert [(one["id"], one["categories"]) for one in data["consent"]] == [(consent["id"], ["household", "identity"])]
    assert not any(b"general_health_status" in one.raw for one in shelter.requests(client))
    crossing = await outreach.crossing(made, "permit")
    assert crossing["categories"] == ["household", "identity", "need"]
    assert crossing["withheld"] == {"health": "no-consent"}


async def test_what_was_decided_while_referrals_was_down_is_seen_as_if_it_had_been_up(
    running_stack: StackProcess, town: Providers
) -> None:
    outreach, shelter = town.outreach, town.shelter
    client = await outreach.client()
    running_stack.kill("boundary", signal.SIGSTOP)
    try:
        made = await outreach.refer(shelter, client)
        await outreach.grant(shelter, client, "identity")

        async def followed() -> bool:
            return bool((await outreach.get("referrals", f"/referrals/{made}"))["version"] == 2)

        await wait_until_async(followed, what="the referral to be published again")
        killed = running_stack.kill("referrals")
    finally:
        running_stack.kill("boundary", signal.SIGCONT)
    await shelter.told(client, "referral.updated")
    await asyncio.to_thread(running_stack.wait_restarted, "referrals", killed)
    await asyncio.to_thread(running_stack.wait_ready, "referrals")
    crossing = await outreach.crossing(made, "permit")
    for name in (made, crossing["reference"]):
        assert await shelter.get("referrals", f"/referrals/{name}") == {"id": name, "status": "requested"}


async def test_the_originator_hears_the_status_and_the_inboxes_say_what_the_webhooks_say(town: Providers) -> None:
    outreach, shelter = town.outreach, town.shelter
    _, theirs = await _inbox(outreach, None)
    _, ours = await _inbox(shelter, None)
    client = await outreach.client()
    made = await outreach.refer(shelter, client)
    reference = (await outreach.crossing(made))["reference"]
    await shelter.told(reference, "referral.requested")
    items, ours = await _inbox(shelter, ours)
    assert items == shelter.heard(reference)
    await outreach.grant(shelter, client, "identity")
    await shelter.told(client, "referral.updated")
    items, ours = await _inbox(shelter, ours)
    assert items == shelter.heard(client)
    await shelter.post("referrals", f"/referrals/{made}/transitions", {"to": "accepted"})
    [message] = await outreach.told(made, "referral.accepted")
    items, _ = await _inbox(outreach, theirs)
    assert items == [message]
    assert (message["data"]["verdict"], message["data"]["status"]) == ("status", "accepted")
    assert message["data"]["shared"] == {}
    assert client not in json.dumps(message)


async def test_a_victim_service_providers_written_release_reaches_the_shelter_with_its_obligation(
    town: Providers,
) -> None:
    haven, shelter = town.haven, town.shelter
    client = await haven.client()
    said = {"segments": {"identity": SAID["identity"]}}
    refused = await haven.call("POST", "referrals", "/referrals", referral(shelter.id, client, **said))
    assert _problem(refused) == (422, "vsp-no-release", ["members.0.segments.identity"])
    await haven.grant(shelter, client, "identity")
    await haven.refer(shelter, client, **said)
    [message] = await shelter.told(client, "referral.requested")
    assert message["data"]["verdict"] == "permit"
    assert message["data"]["shared"]["identity"] == SAID["identity"]
    assert message["data"]["obligations"] == ["do-not-enter-in-hmis"]
    assert len(message["data"]["notices"]) == 1


async def test_nothing_about_a_client_starts_after_the_stop_is_effective(town: Providers) -> None:
    outreach, shelter = town.outreach, town.shelter
    client = await outreach.client()
    await outreach.grant(shelter, client, "identity")
    made = await outreach.refer(shelter, client)
    [first] = await shelter.told(client, "referral.requested")
    try:
        await _trouble(outreach, shelter, client, made)
        receipt = await shelter.post("consent", f"/clients/{client}/revocation", {"requested_by": "client"}, wait=20)
        assert (receipt["state"], receipt["in_doubt"]) == ("effective", 0)
        shelter.desk.open.set()
        await _nothing_under_way(shelter)
    finally:
        shelter.desk.always = (200, {})
        shelter.desk.open.set()
    offset = time.time() - time.monotonic()
    effective = datetime.fromisoformat(receipt["effective_at"]).timestamp()
    began = [one.at + offset for one in shelter.requests(client)]
    assert len(began) >= 4
    assert max(began) <= effective

    reference = first["data"]["reference"]
    await outreach.post("referrals", f"/referrals/{made}/transitions", {"to": "cancelled"})
    [closed] = await shelter.told(made, "referral.closed")
    assert (closed["data"]["status"], closed["data"]["shared"]) == ("closed", {})
    assert client not in json.dumps(closed)
    assert await shelter.get("referrals", f"/referrals/{made}") == {"id": made, "status": "closed"}

    again = await outreach.refer(shelter, client)
    other = (await outreach.crossing(again))["reference"]
    [message] = await shelter.told(other, "referral.requested")
    assert message["data"]["verdict"] == "deidentified"
    for telltale in (client, CANARY, made, again, reference):
        assert telltale not in json.dumps(message)


async def test_replay_gives_the_same_bytes_whatever_the_hash_seed(running_stack: StackProcess, town: Providers) -> None:
    assert town.agreement
    first, second = (replayed(running_stack, seed) for seed in ("1", "2"))
    assert (first["differences"], first["undecided"]) == ([], 0)
    assert first["compared"] > 12
    assert first["digests"] == second["digests"]


async def test_what_was_said_is_kept_nowhere_in_clear(running_stack: StackProcess, town: Providers) -> None:
    outreach, shelter = town.outreach, town.shelter
    client = await outreach.client()
    await outreach.grant(shelter, client, "identity")
    made = await outreach.refer(shelter, client)
    [message] = await shelter.told(client, "referral.requested")
    assert CANARY in json.dumps(message), "it was said"
    await outreach.crossing(made, "permit")
    kept = [path for path in running_stack.home.rglob("*") if path.is_file()]
    parts = {_part(path, running_stack) for path in kept if _holds(path, client)}
    assert {"kafka", "postgres"} <= parts, "what follows looks where things are kept"
    assert "logs" not in parts
    assert [path for path in kept if _holds(path, CANARY)] == []


async def _trouble(outreach: Provider, shelter: Provider, client: str, made: str) -> None:
    """Leave deliveries about a client pending (the shelter's system failed) and on the wire (it does not answer)."""
    shelter.desk.always = (503, {})
    update = {"client_id": client, "segments": {"household": SAID["household"]}}
    so_far = len(shelter.requests(client))
    for _ in range(2):
        await outreach.post("referrals", f"/referrals/{made}/segments", update)
    await wait_until_async(lambda: len(shelter.requests(client)) >= so_far + 2, what="failed deliveries")
    shelter.desk.open.clear()
    for _ in range(2):
        await outreach.post("referrals", f"/referrals/{made}/segments", update)
    await wait_until_async(lambda: len(shelter.requests(client)) >= so_far + 3, what="a delivery on the wire")
    assert "pending" in await _states(shelter)


async def _nothing_under_way(shelter: Provider) -> None:
    async def settled() -> bool:
        return not {"pending", "sending"} & set(await _states(shelter))

    await wait_until_async(settled, what="every retry to be decided")


async def _states(provider: Provider) -> list[str]:
    page = await provider.get("webhooks", f"/endpoints/{provider.endpoint}/deliveries", limit=100)
    return [item["state"] for item in page["items"]]


async def _inbox(provider: Provider, after: str | None) -> tuple[list[dict[str, Any]], str | None]:
    """All that follows a cursor, and the cursor after it."""
    items: list[dict[str, Any]] = []
    while True:
        page = await provider.get("webhooks", "/inbox", limit=50, **({"after": after} if after else {}))
        items += page["items"]
        if page["next"] is None:
            return items, after
        after = page["next"]


def _part(path: Path, stack: StackProcess) -> str:
    return path.relative_to(stack.home).parts[0]


def _holds(path: Path, text: str) -> bool:
    return path.exists() and text.encode() in path.read_bytes()


def _problem(answer: Any) -> tuple[int, str, list[str]]:
    body = answer.json()
    fields = [error["field"] for error in body.get("errors", [])]
    return answer.status_code, body["type"].removeprefix("/problems/"), fields
