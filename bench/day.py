"""How long a day's steps take on the whole stack: POST → webhook, revocation → receipt, and memory per process.

Everything runs on one box, this load generator and the receiver included. Requests are sent at their times whatever
became of those before (open loop).
"""

import asyncio
import io
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import aiohttp
import httpx
from rich.console import Console

from bench.measured import Row, peak_memory, percentile, section
from services.cli.demo import community as communities
from services.cli.demo.client import Api
from services.cli.demo.community import Community
from services.cli.demo.people import PURPOSE, ROSA, referral
from services.cli.demo.receiver import Receiver, System, listening
from services.cli.demo.telling import Telling
from tests.support.ports import free_port_base
from tests.support.stack import StackProcess
from tests.support.waiting import wait_until_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

RATES, SECONDS, RUNS, REVOCATIONS = (20, 50), 15, 5, 100  # referrals a second
AT_ONCE = 8  # while preparing
Result = TypeVar("Result")


async def measure() -> str:
    """The section of results.md."""
    async with _stack() as (stack, town, receiver):
        clients = await _at_once([lambda: _client_with_consent(town) for _ in range(max(RATES) * SECONDS)])
        shelter = receiver.systems["shelter"]
        arrived = {rate: [await _post_to_webhook(town, shelter, clients, rate) for _ in range(RUNS)] for rate in RATES}
        recorded, effective = await _revocations(town, clients[:REVOCATIONS])
        memory = {name: [peak_memory(stack.pid(name))] for name in stack.services}
    rows = [
        *[row for rate, runs in arrived.items() for row in _arrival_rows(rate, runs)],
        Row("revocation answered as recorded, p99", [percentile(recorded, 0.99)], "ms", "≤ 30"),
        Row("revocation answered as effective, p99", [percentile(effective, 0.99)], "ms", "≤ 250"),
        *[Row(f"peak memory of {name}", values, "MB", "≤ 150") for name, values in memory.items()],
    ]
    remarks = (
        f"Open loop for {SECONDS} s a run, each request a referral with three boxes of a client who consented; "
        f"{REVOCATIONS} revocations one after another with nothing on the wire. The targets are for 50/s. Both cores "
        "are nearly full then, for a referral passes six processes besides Kafka and PostgreSQL, and what else the "
        "machine does shows at once. The sampled profile of each process is flat; the fetches of the log's eight "
        "readers are the largest part. Of the memory most is imports."
    )
    return section("python -m bench day", "The whole stack", rows, remarks)


def _arrival_rows(rate: int, runs: list[tuple[list[float], int]]) -> list[Row]:
    what = f"POST → webhook request arrives, {rate}/s"
    return [
        Row(f"{what}, p50", [percentile(delays, 0.5) for delays, _ in runs], "ms", "≤ 40, then ≤ 25"),
        Row(f"{what}, p99", [percentile(delays, 0.99) for delays, _ in runs], "ms", "≤ 150, then ≤ 100"),
        Row(f"POSTs answered 503, {rate}/s", [refused for _, refused in runs], "", "0"),
    ]


@asynccontextmanager
async def _stack() -> "AsyncIterator[tuple[StackProcess, Community, Receiver]]":
    with tempfile.TemporaryDirectory() as folder, free_port_base() as base:
        await asyncio.to_thread(Path(folder).chmod, 0o755)  # PostgreSQL's own user must be able to enter
        stack = StackProcess(Path(folder, "home"), base)
        try:
            await asyncio.to_thread(stack.start)
            async with (
                httpx.AsyncClient(timeout=60, trust_env=False) as http,
                listening("shelter", "outreach") as receiver,
            ):
                telling = Telling(Console(file=io.StringIO()))
                yield (
                    stack,
                    await communities.found(Api(stack.services, http), stack.admin, receiver, telling),
                    receiver,
                )
        finally:
            await asyncio.to_thread(stack.end)


async def _client_with_consent(town: Community) -> str:
    client_id = str((await town.outreach.post("consent", "/clients", {}))["client_id"])
    consent = {
        "client_id": client_id,
        "decision": "permit",
        "to": [town.shelter.name],
        "categories": ["identity", "household"],
        "purposes": [PURPOSE],
        "form": {
            "method": "electronic",
            "notice_version": "2026-1",
            "signers": [{"role": "client", "on": "2026-01-01"}],
        },
    }
    await town.outreach.post("consent", "/consents", consent, wait=10)
    return client_id


async def _post_to_webhook(town: Community, shelter: System, clients: list[str], rate: int) -> tuple[list[float], int]:
    """Milliseconds from sending each POST to its webhook's first byte; and how many POSTs were answered 503."""
    shelter.arrivals.clear()
    sent: dict[str, float] = {}

    async def post(http: aiohttp.ClientSession, client_id: str, at: float) -> None:
        await asyncio.sleep(at - time.time())
        began = time.time()
        body = referral(client_id, ROSA, town.shelter.name, communities.STAFF)
        async with http.post("/referrals", json=body) as answer:
            if answer.status == HTTPStatus.CREATED:
                sent[str((await answer.json())["id"])] = began
            elif answer.status != HTTPStatus.SERVICE_UNAVAILABLE:
                raise SystemExit(f"a referral was answered with {answer.status}")

    start, count = time.time() + 0.5, rate * SECONDS
    async with _calling(town, "referrals") as http:
        await asyncio.gather(
            *[post(http, client, start + number / rate) for number, client in enumerate(clients[:count])]
        )
    arrived = await _arrivals(shelter, len(sent))
    if set(arrived) != set(sent) or not all(set(data["shared"]) == SHARED for data, _ in arrived.values()):
        raise SystemExit("what arrived is not what was sent, so its delay says nothing")
    return [(at - sent[id_]) * 1000 for id_, (_, at) in arrived.items()], count - len(sent)


SHARED = {"need", "identity", "household"}


def _calling(town: Community, service: str) -> aiohttp.ClientSession:
    """Connections of outreach's system to a service; aiohttp takes a fifth of the time of httpx for a request."""
    connector = aiohttp.TCPConnector(limit=0)
    return aiohttp.ClientSession(
        town.outreach.services[service], headers=town.outreach.headers, connector=connector, trust_env=False
    )


async def _arrivals(system: System, count: int) -> dict[str, tuple[dict[str, Any], float]]:
    await wait_until_async(lambda: len(system.arrivals) >= count, what="every webhook", deadline=60)
    return {one.data["referral_id"]: (one.data, one.first_byte_at) for one in system.arrivals if one.signed}


async def _revocations(town: Community, clients: list[str]) -> tuple[list[float], list[float]]:
    """Milliseconds to the answer `recorded`, and for other clients to the answer `effective`."""
    body = {"scope": "all", "requested_by": "client"}
    recorded: list[float] = []
    effective: list[float] = []
    async with _calling(town, "consent") as http:
        for number, client_id in enumerate(clients):
            wait = 10 if number % 2 else 0
            headers = {"Prefer": f"wait={wait}"} if wait else {}
            began = time.perf_counter()
            async with http.post(f"/clients/{client_id}/revocation", json=body, headers=headers) as answer:
                receipt = await answer.json()
            milliseconds = (time.perf_counter() - began) * 1000
            if answer.status not in {200, 202} or (wait and receipt["state"] != "effective"):
                raise SystemExit(f"a revocation was answered with {answer.status}")
            (effective if wait else recorded).append(milliseconds)
    return recorded, effective


async def _at_once(calls: list[Callable[[], Awaitable[Result]]]) -> list[Result]:
    places = asyncio.Semaphore(AT_ONCE)

    async def one(call: Callable[[], Awaitable[Result]]) -> Result:
        async with places:
            return await call()

    return list(await asyncio.gather(*[one(call) for call in calls]))
