"""The feed at its size: 10,000 readers of one process, then all of them again; and holds by 200 users.

Kafka, PostgreSQL, the service, the readers (a process of their own) and whoever writes share the machine.
"""

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from bench.beds_town import Town
from bench.beds_town import town as beds_town
from bench.measured import Row, percentile, section, waited_seconds
from services.kit.auth import Scope
from tests.support.shelter import SHELTER, unit_body

READERS = int(os.environ.get("READERS", "10000"))
UNITS, BEDS = 20, 100
CHANGES_PER_SECOND, SECONDS, RUNS = 10, 20, 3
USERS, HOLDS_FOR, THINK = 200, 30, (1.0, 3.0)  # users, seconds, seconds between two requests of one
ORGANIZATIONS = 50


class Readers:
    """The process of the readers."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def do(self, what: str) -> dict[str, Any]:
        """Have something done, and return what became of it."""
        await self.tell({"do": what})
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        assert line, "the readers' process has ended"
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def tell(self, what: dict[str, Any]) -> None:
        """Write a line to it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")
        await self._process.stdin.drain()


async def measure() -> str:
    """The section of results.md."""
    async with beds_town() as town:
        units = [await _unit(town, number) for number in range(UNITS)]
        cpu, began = town.service.processor_seconds, time.monotonic()
        holds, refused = await _holds(town, units)
        busy = (town.service.processor_seconds - cpu) / (time.monotonic() - began)
        async with _readers(town) as readers:
            before = town.service.resident
            opened = (await readers.do("connect"))["seconds"]
            each = (town.service.resident - before) / READERS
            runs = [await _changes(town, readers, units) for _ in range(RUNS)]
            again = [await _again(readers) for _ in range(RUNS)]
            dropped = (await readers.do("report"))["dropped"]
        metrics = (await town.http.get("/metrics")).text
    cut = sum(
        float(line.split()[-1]) for line in metrics.splitlines() if line.startswith("threshold_feed_cut_off_total")
    )
    rows = [
        Row("readers connected", [READERS], "", "10,000"),
        Row("memory of the process for each reader", [each / 1000], "kB", "≤ 40"),
        Row("change → last reader, p50", [percentile(run.delays, 0.5) for run in runs], "ms"),
        Row("change → last reader, p99", [percentile(run.delays, 0.99) for run in runs], "ms", "≤ 1,000"),
        Row("of that until the change is answered, p99", [percentile(run.answered, 0.99) for run in runs], "ms"),
        Row("of that from the first reader to the last, p99", [percentile(run.spreads, 0.99) for run in runs], "ms"),
        Row("frames a second to each reader", [run.frames for run in runs], "/s", "≤ 2"),
        Row("the service's share of one core", [run.service * 100 for run in runs], "%"),
        Row("the readers' share of one core", [run.readers * 100 for run in runs], "%"),
        Row("the service ready, and waiting for a processor", [run.service_waited * 100 for run in runs], "%"),
        Row("the readers ready, and waiting for a processor", [run.readers_waited * 100 for run in runs], "%"),
        Row("readers dropped or cut off", [dropped + cut], "", "0"),
        Row("all opened, without jitter", [opened], "s"),
        Row("all back after a disconnection, each after its own `retry`", again, "s", "≤ 5"),
        Row(f"POST /holds, {USERS} users, p50", [percentile(holds, 0.5)], "ms"),
        Row(f"POST /holds, {USERS} users, p99", [percentile(holds, 0.99)], "ms"),
        Row(f"POST /holds answered 503, {USERS} users", [refused], "", "0"),
        Row("the service's share of one core meanwhile", [busy * 100], "%"),
    ]
    return section("python -m bench feed", "The feed of beds", rows, _remarks(len(holds)))


def _remarks(holds: int) -> str:
    return (
        f"{CHANGES_PER_SECOND} counts a second by the API over {UNITS} units for {SECONDS} s a run; the time is from "
        "before the request until the last of the readers has the frame with it. Each run checks that every reader "
        "had every frame, and that each who came back went on with one `changes`. "
        f"{holds} holds in {HOLDS_FOR} s by {USERS} users at {UNITS} units, each user pausing {THINK[0]:g} to "
        f"{THINK[1]:g} s between a hold and letting it go, without the readers. In the sampled profile of the service "
        "what a frame costs is the system's write to each socket, a fifth of a second of one core for all; gathering "
        "takes up to half a second. `Waiting` is Linux's own account of how long the main thread was ready to run and "
        "had no processor, because of what else ran on the machine."
    )


@dataclass(frozen=True)
class Run:
    """One run: of each change the delay in ms, to the answer and to the last reader; of each frame from first to last.

    Frames a second to each reader, and shares of a core.
    """

    delays: list[float]
    answered: list[float]
    spreads: list[float]
    frames: float
    service: float
    readers: float
    service_waited: float
    readers_waited: float


async def _changes(town: Town, readers: Readers, units: list[str]) -> Run:
    before = await readers.do("report")
    waited = waited_seconds(town.service.pid)
    cpu, began = town.service.processor_seconds, time.monotonic()
    said: dict[tuple[str, int], float] = {}
    answered: list[float] = []
    for number in range(CHANGES_PER_SECOND * SECONDS):
        await asyncio.sleep(max(0.0, began + number / CHANGES_PER_SECOND - time.monotonic()))
        unit = units[number % len(units)]
        at = time.monotonic()
        body = {"available": 1 + number % (BEDS - 1), "as_of": _now()}
        answer = await town.http.put(f"/units/{unit}/census", json=body, headers=town.headers(SHELTER))
        assert answer.status_code == 200, answer.text
        answered.append(1000 * (time.monotonic() - at))
        said[unit, await _version(town, unit)] = at
    took = time.monotonic() - began
    service = (town.service.processor_seconds - cpu) / took
    service_waited = (waited_seconds(town.service.pid) - waited) / took
    await asyncio.sleep(2)  # the last frame
    report = await readers.do("report")
    # A value that a newer one overtook before its frame was told with the newer one.
    arrived: dict[str, list[tuple[int, float]]] = {}
    spreads: list[float] = []
    for count, first, at, told in report["arrivals"].values():
        assert count == READERS, f"a frame came to {count} readers"
        spreads.append(1000 * (at - first))
        for unit, version in told:
            arrived.setdefault(unit, []).append((version, at))
    delays = [
        1000 * (min(at for seen, at in arrived[unit] if seen >= version) - sent)
        for (unit, version), sent in said.items()
    ]
    assert len(delays) == CHANGES_PER_SECOND * SECONDS
    took = time.monotonic() - began
    used, idle = (report[name] - before[name] for name in ("processor_seconds", "waited_seconds"))
    each = report["frames"] / READERS / took
    return Run(delays, answered, spreads, each, service, used / took, service_waited, idle / took)


async def _again(readers: Readers) -> float:
    answer = await readers.do("reconnect")
    assert answer["resumed"] == READERS, f"{answer['resumed']} went on"
    assert answer["retries"] > min(READERS, 3000) / 3, "they come back together"
    return float(answer["seconds"])


async def _holds(town: Town, units: list[str]) -> tuple[list[float], int]:
    until = time.monotonic() + HOLDS_FOR
    users = [_user(town, f"outreach-{number}", units, until, random.Random(number)) for number in range(USERS)]
    found = await asyncio.gather(*users)
    return [delay for delays, _ in found for delay in delays], sum(refused for _, refused in found)


async def _user(
    town: Town, organization: str, units: list[str], until: float, chance: random.Random
) -> tuple[list[float], int]:
    delays: list[float] = []
    refused = 0
    headers = town.headers(organization)
    while True:
        await asyncio.sleep(chance.uniform(*THINK))
        if time.monotonic() > until:
            return delays, refused
        began = time.monotonic()
        body = {"unit_id": chance.choice(units), "minutes": 30}
        answer = await town.http.post("/holds", json=body, headers=headers)
        delays.append(1000 * (time.monotonic() - began))
        if answer.status_code == 503:
            refused += 1
            continue
        assert answer.status_code == 201, answer.text
        hold = answer.json()["id"]
        await asyncio.sleep(chance.uniform(*THINK))
        answer = await town.http.delete(f"/holds/{hold}", headers=headers)
        assert answer.status_code in {200, 503}, answer.text


async def _unit(town: Town, number: int) -> str:
    said = {"beds": BEDS, "name": f"Rooms {number}", "area": "Harbor", "eligibility": "Come as you are. " * 8}
    answer = await town.http.post("/units", json=unit_body(**said), headers=town.headers(SHELTER))
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def _version(town: Town, unit: str) -> int:
    answer = await town.http.get(f"/units/{unit}", headers=town.headers(SHELTER))
    return int(answer.json()["version"])


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


@asynccontextmanager
async def _readers(town: Town) -> AsyncIterator[Readers]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.feed_readers",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 26,
    )  # fmt: skip
    readers = Readers(process)
    town.community.now = time.time()
    names = [f"outreach-{n}" for n in range(ORGANIZATIONS)]
    tokens = [town.community.token(name, [Scope.BEDS_READ], client_id=name) for name in names]
    port = int(town.service.url.rsplit(":", 1)[1])
    try:
        await readers.tell({"port": port, "tokens": tokens, "number": READERS})
        yield readers
        await readers.tell({"do": "end"})
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
