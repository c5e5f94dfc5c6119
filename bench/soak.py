"""`python -m bench.soak`: pairs of revocation and event race by the million, through kills and rebalances.

Ends with 1 unless nothing leaked, every legitimate event crossed, a replay gives every byte again, and the control
design, raced in the same run, leaked. Memory: what the boundary knows of the clients; the records are on disk.
"""

import argparse
import asyncio
import multiprocessing
import os
import random
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from bench.workload import PARTITIONS, Workload
from services.kit.broker import quiet_clients
from tests.support.crossings import Tally, tally
from tests.support.ports import free_port_base
from tests.support.race import Pair, Racers, pairs_of, racers_on
from tests.support.two_boundaries import FIRST, SECOND, TwoBoundaries
from tests.support.two_topic_race import Leaks, race_on_two_topics
from tests.support.waiting import wait_until_async

CHUNK = 1_000  # pairs granted, and then raced, at once
PAIRS_A_WOUND = 25_000
CAUGHT_UP_WITHIN = 300  # seconds after a stretch
LEAST_WOUNDS = 4  # one round
CONTROL_PAIRS = 2_000
BEGAN = time.monotonic()


@dataclass
class Wounds:
    """Kills one of two boundaries, or lets the second one join or leave, each at a random moment of its stretch."""

    rig: TwoBoundaries
    racers: Racers
    random: random.Random
    kills: int = 0
    rebalances: int = 0
    decided_by_second: int = 0

    async def kill(self, stretch: int) -> str:
        """Kill one of those that run with -9, and start it again some pairs later."""
        name = self.random.choice(sorted(self.rig.joined))
        at = await self._some_time_in(stretch // 2)
        await self._end(name, signal.SIGKILL)
        back = await self._some_time_in(stretch // 4)
        self.rig.join(name)
        self.kills += 1
        return f"kill -9 of {name} at {at:,}, back at {back:,}"

    async def join(self, stretch: int) -> str:
        """Let the second one join, and wait until partitions have moved to it."""
        at = await self._some_time_in(stretch // 2)
        self.rig.join(SECOND)
        await self.rig.second_decides()
        self.rebalances += 1
        return f"second joined at {at:,}, had partitions at {self.racers.raced:,}"

    async def leave(self, stretch: int) -> str:
        """Let the second one leave, asked or killed."""
        at = await self._some_time_in(stretch // 2)
        how = self.random.choice((signal.SIGTERM, signal.SIGKILL))
        await self._end(SECOND, how)
        self.rebalances += 1
        return f"second left at {at:,} by {how.name}"

    async def _end(self, name: str, how: signal.Signals) -> None:
        if name == SECOND:
            self.decided_by_second += await self.rig.decided_by_second()
        await self.rig.leave(name, how)

    async def _some_time_in(self, pairs: int) -> int:
        """Wait until at most so many more pairs have raced; return how many have."""
        moment = self.racers.raced + self.random.randint(0, pairs)
        await wait_until_async(lambda: self.racers.raced >= moment, what="the pairs to race", deadline=600)
        return self.racers.raced


async def soak(pairs: int, seed: int) -> bool:
    """Race so many pairs; print what happens, and return whether all is as it should be."""
    say(f"seed {seed}, {pairs:,} pairs")
    quiet_clients()
    workload = Workload(seed=seed, events=0, clients=0)
    source = pairs_of(workload, seed)
    with _home() as home, free_port_base() as base:
        rig = TwoBoundaries(home, base, workload.root_fingerprint)
        try:
            await rig.start_broker()
            leaks = await _control(rig.kafka, list(islice(source, CONTROL_PAIRS)), home)
            await rig.produce([record for partition in range(PARTITIONS) for record in workload.beginning(partition)])
            wounds = await _race(rig, source, pairs, seed)
            found = await _tally(rig.kafka, workload.root_fingerprint)
        finally:
            rig.end()
            for why in rig.ended_alone:
                say(f"ended by itself and was restarted: {why}")
    return _judged(pairs, seed, found, leaks, wounds)


@contextmanager
def _home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="threshold-soak-") as folder:
        Path(folder).chmod(0o755)  # as the folder of every stack
        yield Path(folder, "home")


async def _control(kafka: str, pairs: list[Pair], home: Path) -> Leaks:
    leaks = await race_on_two_topics(kafka, [pair.client for pair in pairs], home)
    say(f"control on two topics: {leaks.racing:,} of {len(pairs):,} pairs leaked, and {leaks.late} events sent later")
    return leaks


async def _race(rig: TwoBoundaries, source: Iterator[Pair], pairs: int, seed: int) -> Wounds:
    """Race the pairs, in stretches with one wound each, and wait after each until all is decided."""
    count = max(LEAST_WOUNDS, pairs // PAIRS_A_WOUND)
    rig.join(FIRST)
    async with racers_on(rig.kafka, seed) as racers, rig.kept_alive():
        wounds = Wounds(rig, racers, random.Random(seed))
        kinds = cycle((wounds.join, wounds.kill, wounds.leave, wounds.kill))
        await rig.caught_up(CAUGHT_UP_WITHIN)  # so that the first wound finds a boundary at work
        began = time.monotonic()
        for number in range(1, count + 1):
            stretch = pairs * number // count - racers.raced
            wounding = asyncio.create_task(next(kinds)(stretch))
            await _stretch(racers, islice(source, stretch))
            told = await wounding
            await rig.caught_up(CAUGHT_UP_WITHIN)  # as the next one must, too
            say(f"{racers.raced:,} pairs, {racers.raced / (time.monotonic() - began):,.0f}/s: {told}")
    return wounds


async def _stretch(racers: Racers, source: Iterator[Pair]) -> None:
    while chunk := list(islice(source, CHUNK)):
        await racers.grant(chunk)
        await racers.race(chunk)


async def _tally(kafka: str, root_fingerprint: str) -> Tally:
    """Read and replay the whole log on every core, partition by partition."""
    total, loop = Tally(), asyncio.get_running_loop()
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        counts = [loop.run_in_executor(pool, _partition, kafka, root_fingerprint, one) for one in range(PARTITIONS)]
        for counted in asyncio.as_completed(counts):
            total.add(await counted)
            say(f"{total.records:,} records read and replayed, {total.leaked} leaks, {len(total.faults)} faults")
    return total


def _partition(kafka: str, root_fingerprint: str, partition: int) -> Tally:
    return asyncio.run(tally(kafka, root_fingerprint, [partition]))


def _judged(pairs: int, seed: int, found: Tally, leaks: Leaks, wounds: Wounds) -> bool:
    """Print the summary, and what is wrong; return whether nothing is."""
    wrong = {
        f"{found.leaked} leaks": found.leaked,
        f"{found.due - found.passed} legitimate events that did not cross": found.due - found.passed,
        f"not {pairs} pairs on the log": not found.revoked == found.requested == pairs,
        f"only {found.compared} of {found.records} records replayed": found.compared != found.records,
        "a race that one side always wins": not 0 < found.due < pairs,
        "a second boundary that decided nothing": not wounds.decided_by_second,
        "a control that leaks nothing": not leaks.racing,
        "a control that lets everything pass": leaks.late,
        **dict.fromkeys(found.faults, True),
    }
    say(
        f"seed {seed}, {pairs:,} pairs, {wounds.kills} kills, {wounds.rebalances} rebalances: {found.leaked} leaks, "
        f"{found.passed:,} of {found.due:,} legitimate events passed; {found.compared:,} of {found.records:,} records "
        f"replayed to the byte, {found.copies} late copies; the second boundary decided {wounds.decided_by_second:,}; "
        f"the control leaked {leaks.racing:,} of {CONTROL_PAIRS:,}"
    )
    for what in (what for what, so in wrong.items() if so):
        say(f"FAILED: {what}")
    return not any(wrong.values())


def say(what: str) -> None:
    """Print at once, also into a pipe, after the seconds since the start."""
    print(f"{time.monotonic() - BEGAN:6.0f} s  {what}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**8), help="another one each time by default")
    given = parser.parse_args()
    sys.exit(0 if asyncio.run(soak(given.pairs, given.seed)) else 1)
