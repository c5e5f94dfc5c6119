"""Who the client is stands nowhere but at the receiver, whatever the name: in no record, row, log, metric or answer."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx
import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.support.canary import Canaries, Found
from tests.support.places import DATABASES, kept
from tests.support.providers import SAID, Provider, Providers, referral
from tests.support.stack import StackProcess
from tests.support.tables import direct

pytestmark = pytest.mark.asyncio(loop_scope="package")

NAMES = [
    "Mágdalena Ñuñez-0417",
    "Siobhán O'Connor-0418",
    "مريم الطائر ٤١٩",
    "דניאלה ציפור 0420",
    "🦩 Flamingo 👩🏽‍🦽 0421",
    "Null\"}],{'; DROP TABLE clients;-- 0422",
    "<script>alert(0423)</script> & {{7*7}}",
    "Adéla " + "Wolfeschlegelsteinhausenbergerdorff" * 2 + " 0425",
    "王小鸟 0426 %00%0d%0a ..\\..\\ 0426",
]
NO_NAME = "Zoë\nAnne\tvan der Berg 0424"


async def test_the_scanner_finds_what_is_planted_in_each_place(running_stack: StackProcess) -> None:
    places = ["topic key", "topic value", "topic header", "group", "client", "file", "printed", "metrics"]
    planted = {place: f"Plánted {number:04d}" for number, place in enumerate([*places, *DATABASES])}
    with (
        _rows(running_stack, planted),
        _files(running_stack, planted),
        _metrics(planted["metrics"]) as address,
    ):
        async with _on_the_broker(running_stack.kafka, planted):
            found = await _scan(running_stack, planted.values(), {"planted": address})
    assert {one.canary for one in found} == set(planted.values())
    of = {place: {one.place for one in found if one.canary == text} for place, text in planted.items()}
    assert of["topic key"] == of["topic value"] == of["topic header"] == {"topic planted"}
    assert (of["metrics"], of["file"]) == ({"metrics planted"}, {"file planted.log"})
    assert [of[service] for service in DATABASES] == [{f"table {service}.planted"} for service in DATABASES]


async def test_whatever_the_name_it_stands_at_the_receiver_and_nowhere_else(
    running_stack: StackProcess, town: Providers
) -> None:
    with _answers(town) as answers:
        for name in NAMES:
            await _day(town, name)
            await _mistakes(town.outreach, name)
        said = {"segments": {"identity": {"first_name": NO_NAME}}}
        body = referral(town.shelter.id, await town.outreach.client(), **said)
        assert (await town.outreach.call("POST", "referrals", "/referrals", body)).status_code == 422
    assert len(answers) > len(NAMES)
    found = await _scan(running_stack, [*NAMES, NO_NAME], running_stack.services, answers)
    assert found == [], "\n".join(f"{one.place}: {one.canary[:20]!r}" for one in found)


async def _day(town: Providers, name: str) -> None:
    """Register, refer, consent, deliver, update, revoke."""
    outreach, shelter = town.outreach, town.shelter
    body = {"identifiers": [{"system": "local", "value": name}]}
    client = (await outreach.post("consent", "/clients", body))["client_id"]
    assert (await outreach.post("consent", "/clients", body))["client_id"] == client
    said = SAID | {"identity": {"first_name": name, "last_name": name}, "notes": {"text": f"{name}\n{NO_NAME}"}}
    made = await outreach.refer(shelter, client, segments=said, external_id=f"case-{NAMES.index(name)}")
    await outreach.crossing(made)  # the grant may not overtake the request
    await outreach.grant(shelter, client, "identity")
    [message] = await shelter.told(client, "referral.updated")
    assert message["data"]["shared"]["identity"] == said["identity"], "at the receiver it is what was said"
    await outreach.post("referrals", f"/referrals/{made}/segments", {"client_id": client, "segments": said})
    await shelter.told(client, "referral.updated", 2)
    stop = {"requested_by": "client"}
    receipt = await shelter.post("consent", f"/clients/{client}/revocation", stop, wait=20)
    assert receipt["state"] == "effective"


async def _mistakes(outreach: Provider, name: str) -> None:
    """Put the name where it does not belong."""
    for service, path in (("consent", "/clients"), ("consent", "/consents"), ("referrals", "/referrals")):
        assert (await outreach.call("POST", service, path, {name: name, "client_id": name})).status_code == 422
        assert (await outreach.call("GET", service, path, client_id=name, after=name)).status_code in {405, 422}


@contextmanager
def _answers(town: Providers) -> Iterator[list[tuple[str, bytes]]]:
    """Keep what is answered to mistakes, headers too."""
    refused: list[tuple[str, bytes]] = []

    async def keep(answer: httpx.Response) -> None:
        if answer.status_code >= 400:
            about = f"answer to {answer.request.method} {answer.request.url.path}"
            refused.append((about, await answer.aread() + repr(answer.headers.raw).encode()))

    everybody = (town.outreach, town.shelter, town.haven, town.stranger)
    for each in everybody:
        each.http.event_hooks["response"].append(keep)
    try:
        yield refused
    finally:
        for each in everybody:
            each.http.event_hooks["response"].remove(keep)


async def _scan(
    stack: StackProcess, texts: Any, addresses: Mapping[str, str], more: list[tuple[str, bytes]] | None = None
) -> list[Found]:
    return sorted(set(Canaries(texts).search([*await kept(stack, addresses), *(more or [])])))


@asynccontextmanager
async def _on_the_broker(bootstrap: str, planted: Mapping[str, str]) -> AsyncIterator[None]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic("planted", 1, 1)])
    try:
        async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
            value = json.dumps({"data": [{"name": planted["topic value"]}]}).encode()
            headers = [("name", planted["topic header"].encode().hex().encode())]
            await producer.send_and_wait("planted", value, planted["topic key"].encode(), headers=headers)
        async with AIOKafkaConsumer(
            "planted",
            bootstrap_servers=bootstrap,
            group_id=planted["group"],
            client_id=planted["client"],
            auto_offset_reset="earliest",
        ) as consumer:
            await consumer.getone()
            yield
    finally:
        await admin.delete_topics(["planted"])
        await admin.close()


@contextmanager
def _rows(stack: StackProcess, planted: Mapping[str, str]) -> Iterator[None]:
    with _tables(stack) as connections:
        for service, connection in connections.items():
            connection.execute("CREATE TABLE planted (one bytea)")
            connection.execute("INSERT INTO planted VALUES (%s)", [planted[service].encode()])
        try:
            yield
        finally:
            for connection in connections.values():
                connection.execute("DROP TABLE planted")


@contextmanager
def _tables(stack: StackProcess) -> Iterator[dict[str, psycopg.Connection[Any]]]:
    connections = {service: direct(stack.database(service)) for service in DATABASES}
    yield connections
    for connection in connections.values():
        connection.close()


@contextmanager
def _files(stack: StackProcess, planted: Mapping[str, str]) -> Iterator[None]:
    log = stack.home / "logs" / "planted.log"
    log.write_text(json.dumps({"event": planted["file"]}))
    before = stack.printed.read_bytes()
    stack.printed.write_bytes(before + planted["printed"].encode())
    try:
        yield
    finally:
        log.unlink()
        stack.printed.write_bytes(before)


@contextmanager
def _metrics(text: str) -> Iterator[str]:
    class Metrics(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f'requests{{route="{text}"}} 1'.encode())

    with ThreadingHTTPServer(("127.0.0.1", 0), Metrics) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
