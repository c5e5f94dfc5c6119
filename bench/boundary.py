"""How many events a second one boundary process decides, and how many a replay decides again.

Each run checks its own output before it counts: the replay must find every byte that the boundary wrote.
"""

import asyncio
import tempfile
import time
from pathlib import Path

from bench.measured import Row, section
from bench.workload import PARTITIONS, Workload
from services.audit.export import live
from services.audit.replay import Replay
from tests.support.boundary_rig import OUTPUT, BoundaryRig
from tests.support.ports import free_port_base

RUNS, EVENTS, CLIENTS = 5, 480_000, 100_000


async def measure() -> str:
    """The section of results.md."""
    workload = Workload(seed=1, events=EVENTS, clients=CLIENTS)
    records = list(workload.records())
    size = sum(len(value) for _, _, value in records) / len(records)
    decided, replayed, memory = [], [], []
    with tempfile.TemporaryDirectory() as folder, free_port_base() as base:
        rig = BoundaryRig(Path(folder), base, workload.root_fingerprint)
        try:
            await rig.start_broker()
            await rig.produce(records)
            for _ in range(RUNS):
                rig.start_boundary()
                await rig.answered(deadline=300)
                decided.append(await _rate(rig))
                memory.append(rig.peak_memory("boundary"))
                replayed.append(await _replay(rig, workload))
                await rig.unanswer()
        finally:
            rig.end()
    rows = [
        Row("boundary, full decision, one process", decided, "events/s", "≥ 40,000, then ≥ 60,000"),
        Row("replay, byte-identical, one core", replayed, "events/s", "≥ 30,000"),
        Row(f"boundary, peak memory with {CLIENTS:,} clients known", memory, "MB", "≤ 150"),
    ]
    remarks = (
        f"{len(records):,} records of {size:,.0f} bytes on average, on disk before the clock starts. The profile of a "
        "step is flat: decoding, encoding and hashing of both records come first, then the calls of the rule, one by "
        "one cheap, then Ed25519 of the signed records; the rest is Kafka's client. Of the memory most is imports and "
        "the buffers of fetches."
    )
    return section("python -m bench boundary", "Boundary and replay", rows, remarks)


async def _rate(rig: BoundaryRig) -> float:
    """From the first to the last disclosure, by the broker's clock."""
    outputs = await rig.read(OUTPUT)
    times = [output.timestamp_ms for partition in outputs.values() for output in partition]
    return len(times) / (max(times) - min(times)) * 1000


async def _replay(rig: BoundaryRig, workload: Workload) -> float:
    replay, began, count = Replay(workload.root_fingerprint), time.perf_counter(), 0
    async for run in live(rig.kafka, list(range(PARTITIONS))):
        for record in run:
            replay.take(record)
        count += len(run)
    report = replay.report()
    seconds = time.perf_counter() - began
    if report.differences or report.undecided or report.compared * 2 != count:
        raise SystemExit(f"the output is wrong, so its rate says nothing: {report}")
    return report.compared / seconds


if __name__ == "__main__":
    print(asyncio.run(measure()))
