"""A Kafka with one boundary or two on it, each restarted when it ends by itself, as a supervisor would."""

import asyncio
import math
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import httpx
import msgspec
from msgspec import Struct

from deploy.local.supervisor import Program
from services.kit.broker import Ends, read_all
from tests.support.boundary_rig import OUTPUT, SOURCE, BoundaryRig
from tests.support.log import PARTITIONS
from tests.support.waiting import wait_until_async

FIRST, SECOND = "boundary", "second"
_TAIL = 2_000  # records at the end of a partition, among which its last answer is looked for
_DECIDED = re.compile(r"^threshold_boundary_records_total (\S+)", re.MULTILINE)
_WHY = re.compile(r'"why": "([^"]*)')


class _Answer(Struct):
    source_offset: int


_ANSWER = msgspec.json.Decoder(_Answer)


class TwoBoundaries(BoundaryRig):
    """`join` and `leave` say which boundaries there should be; `ended_alone` says why one ended unasked."""

    def __init__(self, home: Path, port_base: int, root_fingerprint: str) -> None:
        super().__init__(home, port_base, root_fingerprint)
        self.joined: set[str] = set()
        self.ended_alone: list[str] = []
        self._second_port = port_base + 1  # no other service runs here

    def join(self, name: str) -> None:
        """Run a boundary."""
        self._run(self._boundary() if name == FIRST else self._another_boundary())
        self.joined.add(name)

    async def leave(self, name: str, number: signal.Signals) -> None:
        """End a boundary with SIGKILL or SIGTERM."""
        self.joined.discard(name)
        await asyncio.to_thread(self.kill, name, number)

    async def second_decides(self) -> None:
        """Wait until the second boundary has been given partitions and goes on with them."""
        await wait_until_async(self._second_is_ready, what="the second boundary", deadline=120)

    async def decided_by_second(self) -> int:
        """How many records the second boundary has answered since it joined; 0 if it can't say."""
        answer = await self._second_says("/metrics")
        found = _DECIDED.search(answer.text) if answer else None
        return int(float(found[1])) if found else 0

    @asynccontextmanager
    async def kept_alive(self) -> AsyncIterator[None]:
        """For as long as the block runs, restart what ends by itself."""
        keeping: asyncio.Task[None] = asyncio.create_task(
            wait_until_async(self._revive, what="the end", deadline=math.inf)
        )
        try:
            yield
        finally:
            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping

    async def caught_up(self, deadline: float) -> None:
        """Wait until each partition's last record is answered; those before it are for whoever reads all."""
        async with Ends(self.kafka, SOURCE, PARTITIONS) as sources, Ends(self.kafka, OUTPUT, PARTITIONS) as outputs:
            wanted = await sources.now()

            async def enough() -> bool | None:
                answered = await outputs.now()
                return all(answered[partition] >= end for partition, end in wanted.items())

            async def complete() -> bool | None:
                return await self._last_answered(await outputs.now()) == {p: end - 1 for p, end in wanted.items()}

            await wait_until_async(enough, what="as many answers as records", deadline=deadline)
            await wait_until_async(complete, what="every last record to be answered", deadline=deadline)

    async def _last_answered(self, ends: dict[int, int]) -> dict[int, int]:
        """By partition, the highest source offset among its last answers: later copies may stand behind it."""
        last = dict.fromkeys(ends, -1)
        starts = {partition: max(end - _TAIL, 0) for partition, end in ends.items()}
        async for run in read_all(self.kafka, OUTPUT, starts):
            found = max(_ANSWER.decode(record.value or b"").source_offset for record in run)
            last[run[0].partition] = max(last[run[0].partition], found)
        return last

    async def _second_is_ready(self) -> bool | None:
        answer = await self._second_says("/readyz")
        return answer is not None and answer.is_success

    async def _second_says(self, path: str) -> httpx.Response | None:
        async with httpx.AsyncClient(trust_env=False, base_url=f"http://127.0.0.1:{self._second_port}") as client:
            try:
                return await client.get(path)
            except httpx.TransportError:
                return None

    def _revive(self) -> None:
        for name in sorted(self.joined):
            if self.ended(name) is not None:
                self.ended_alone.append(f"{name}: {self._last_words(name)}")
                self.join(name)

    def _last_words(self, name: str) -> str:
        reasons = _WHY.findall(self.log(name))
        return reasons[-1] if reasons else f"exit code {self.ended(name)}"

    def _another_boundary(self) -> Program:
        command = (sys.executable, "-m", "uvicorn", "--factory", "tests.support.second_boundary:create_app")
        address = ("--host", "127.0.0.1", "--port", str(self._second_port), "--loop", "uvloop", "--no-access-log")
        return replace(self._boundary(), name=SECOND, command=(*command, *address), log=self._home / f"{SECOND}.log")
