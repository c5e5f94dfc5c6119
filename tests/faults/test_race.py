"""Revocations and events published as fast as the machine can: what was revoked first never crosses.

The same pairs race on a control design, which must leak in the same run: else it could not have found a leak. By the
million, and through kills and rebalances, they race in `make soak`.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from bench.workload import PARTITIONS, Workload
from tests.support.boundary_rig import BoundaryRig
from tests.support.crossings import tally
from tests.support.race import Pair, pairs_of, racers_on
from tests.support.two_topic_race import race_on_two_topics

PAIRS = 2_000
SEED = 20261122


@pytest.fixture
def workload() -> Workload:
    return Workload(seed=SEED, events=0, clients=0)


@pytest.fixture
def rig(stack_home: Path, port_base: int, workload: Workload) -> Iterator[BoundaryRig]:
    rig = BoundaryRig(stack_home, port_base, workload.root_fingerprint)
    yield rig
    rig.end()


@pytest.mark.timeout(240)
async def test_no_pair_leaks_here_and_some_do_on_two_topics(
    rig: BoundaryRig, workload: Workload, stack_home: Path
) -> None:
    await rig.start_broker()
    await rig.produce([record for partition in range(PARTITIONS) for record in workload.beginning(partition)])
    pairs = list(islice(pairs_of(workload, SEED), PAIRS))
    await _race(rig, pairs)
    ours = await tally(rig.kafka, workload.root_fingerprint, range(PARTITIONS))
    control = await race_on_two_topics(rig.kafka, [pair.client for pair in pairs], stack_home)
    print(f"seed {SEED}, {PAIRS} pairs: {ours.leaked} leaks, {ours.passed} of {ours.due} legitimate events passed")
    print(f"the same pairs on two topics: {control.racing} leaks")
    assert ours.faults == []
    assert ours.revoked == ours.requested == PAIRS
    assert ours.leaked == 0
    assert ours.passed == ours.due
    assert 0 < ours.due < PAIRS, "a race that one side always wins is none"
    assert control.racing > 0
    assert control.late == 0, "a control that lets everything pass is none"


async def _race(rig: BoundaryRig, pairs: list[Pair]) -> None:
    """Half of the pairs race while the boundary works, half while it is dead."""
    rig.start_boundary()
    async with racers_on(rig.kafka, SEED) as racers:
        await racers.grant(pairs)
        await rig.answered()
        await racers.race(pairs[::2])
        rig.kill("boundary")
        await racers.race(pairs[1::2])
    rig.start_boundary()
    await rig.answered()
