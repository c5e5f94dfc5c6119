"""Two boundaries share the partitions, and one goes on when the other leaves: what the soak race is built on."""

import signal
from pathlib import Path

from bench.workload import Workload
from tests.support.boundary_rig import OUTPUT, SOURCE, firsts, serial_fold
from tests.support.two_boundaries import FIRST, SECOND, TwoBoundaries

WORKLOAD = Workload(seed=20261125, events=3_000, clients=300)


async def test_a_second_boundary_takes_partitions_and_gives_them_back(stack_home: Path, port_base: int) -> None:
    rig = TwoBoundaries(stack_home, port_base, WORKLOAD.root_fingerprint)
    records = list(WORKLOAD.records())
    try:
        await rig.start_broker()
        rig.join(FIRST)
        rig.join(SECOND)
        await rig.second_decides()
        await rig.produce(records)
        await rig.answered(deadline=60)
        assert await rig.decided_by_second() > 0
        await rig.leave(SECOND, signal.SIGTERM)
        await rig.produce(records)
        await rig.answered(deadline=60)
        assert rig.ended(FIRST) is None, rig.log(FIRST)
        sources, outputs = await rig.read(SOURCE), await rig.read(OUTPUT)
        for partition, found in sources.items():
            decided = [output.value for output in firsts(outputs[partition])]
            assert decided == serial_fold(found, partition, WORKLOAD.root_fingerprint)
    finally:
        rig.end()
