"""How soon a boundary that was killed decides again, on a log of a million records."""

import asyncio
import tempfile
import time
from pathlib import Path

from bench.measured import Row, section
from bench.workload import Workload
from tests.support.boundary_rig import OUTPUT, BoundaryRig
from tests.support.ports import free_port_base

RUNS, EVENTS, CLIENTS, PROBES = 3, 1_000_000, 100_000, 1_200


async def measure() -> str:
    """The section of results.md."""
    workload = Workload(seed=2, events=EVENTS, clients=CLIENTS)
    with tempfile.TemporaryDirectory() as folder, free_port_base() as base:
        rig = BoundaryRig(Path(folder), base, workload.root_fingerprint)
        try:
            await rig.start_broker()
            rig.start_boundary()
            await rig.produce(workload.records())
            await _until(rig, await rig.count("client-events"))
            seconds = [await _killed(rig, workload, run) for run in range(RUNS)]
        finally:
            rig.end()
    row = Row("boundary kill -9 → deciding again, 10⁶-record log", seconds, "s", "≤ 8")
    return section("python -m bench recovery", "Recovery", [row])


async def _killed(rig: BoundaryRig, workload: Workload, run: int) -> float:
    """Seconds from the kill, with the restart at once, to the first new decision."""
    decided = await rig.count(OUTPUT)
    rig.kill("boundary")
    began = time.perf_counter()
    rig.start_boundary()
    await rig.produce([workload.request(client, run) for client in workload.clients[:PROBES]])
    await _until(rig, decided + 1)
    seconds = time.perf_counter() - began
    await _until(rig, await rig.count("client-events"))
    return seconds


async def _until(rig: BoundaryRig, count: int) -> None:
    deadline = time.monotonic() + 900
    while await rig.count(OUTPUT) < count:
        if time.monotonic() > deadline:
            raise SystemExit("the boundary does not decide: nothing is measured")
        await asyncio.sleep(0.05)
