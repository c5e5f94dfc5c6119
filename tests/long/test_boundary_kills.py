"""The boundary is killed again and again while it works: every record is still decided once in effect."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from bench.workload import PARTITIONS, Workload
from services.boundary.recovery import recover
from tests.support.boundary_rig import OUTPUT, SOURCE, BoundaryRig, firsts, serial_fold
from tests.support.waiting import wait_until_async

KILLS = 10
WORKLOAD = Workload(seed=20261122, events=40_000, clients=3_000)


@pytest.fixture
def rig(stack_home: Path, port_base: int) -> Iterator[BoundaryRig]:
    rig = BoundaryRig(stack_home, port_base, WORKLOAD.root_fingerprint)
    yield rig
    rig.end()


@pytest.mark.timeout(240)
async def test_ten_kills_leave_the_bytes_of_one_serial_fold(rig: BoundaryRig) -> None:
    await rig.start_broker()
    records = list(WORKLOAD.records())
    await rig.produce(records)
    decided = 0
    for kill in range(1, KILLS + 1):
        rig.start_boundary()
        await wait_until_async(partial(_more, rig, decided), what="decisions", deadline=60)
        rig.kill("boundary")
        decided = await rig.count(OUTPUT)
        print(f"kill {kill}: {decided} answers stand, lag {len(records) - decided}")
        assert decided < len(records), "a boundary that has nothing left to do is no test"
    rig.start_boundary()
    await rig.answered(deadline=120)
    await _assert_serial(rig, records)


@pytest.mark.timeout(120)
async def test_a_restart_from_snapshots_goes_on_where_the_log_ends(rig: BoundaryRig) -> None:
    await rig.start_broker()
    records = list(WORKLOAD.records())
    half = len(records) // 2
    await rig.produce(records[:half])
    rig.start_boundary()
    await rig.answered()
    rig.kill("boundary", number=rig.STOP)
    assert len(list(rig.snapshots.iterdir())) == PARTITIONS
    await rig.produce(records[half:])
    rig.start_boundary()
    await rig.answered()
    await _assert_serial(rig, records)
    # However often it is killed before a snapshot is due: what was folded since the last one counts.
    rig.kill("boundary")
    recovered = await recover(rig.kafka, 0, WORKLOAD.root_fingerprint, rig.own_snapshots)
    assert 0 < recovered.saved_at < recovered.snapshot.state.next


@pytest.mark.timeout(120)
async def test_another_ones_snapshot_counts_as_none_and_another_ones_decisions_stop_the_boundary(
    rig: BoundaryRig,
) -> None:
    await rig.start_broker()
    records = list(Workload(seed=20261122, events=2_000, clients=100).records())
    await rig.produce(records)
    rig.start_boundary()
    await rig.answered()
    rig.kill("boundary", number=rig.STOP)
    damaged = rig.snapshots / "client-events-3.snapshot"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\xff")
    await rig.forge_disclosure(partition=5)
    rig.start_boundary()
    await wait_until_async(lambda: rig.ended("boundary"), what="the boundary to refuse", deadline=60)
    assert "does not follow from client-events" in rig.log("boundary")


async def _more(rig: BoundaryRig, before: int) -> bool | None:
    return await rig.count(OUTPUT) > before


async def _assert_serial(rig: BoundaryRig, records: list[tuple[int, bytes, bytes]]) -> None:
    sources, outputs = await rig.read(SOURCE), await rig.read(OUTPUT)
    assert sum(map(len, sources.values())) == len(records)
    for partition, stored in sources.items():
        kept = [output.value for output in firsts(outputs[partition])]
        assert kept == serial_fold(stored, partition, WORKLOAD.root_fingerprint), f"partition {partition} differs"
    copies = sum(map(len, outputs.values())) - len(records)
    print(f"{len(records)} records, {copies} late copies, all equal to the serial fold")
