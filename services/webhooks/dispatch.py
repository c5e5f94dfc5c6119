"""Decides whose delivery is attempted next, so that no endpoint can make another one wait.

Each endpoint has its own few workers, which wait for its receiver and for nobody else's. What endpoints share (the
database, the custodian, this process's time) lies behind a gate that is held for milliseconds. There are three: a wide
one for endpoints whose last attempt worked, others for those not tried yet and for those that failed. So a thousand
endpoints that are dead, or that were all given something at once, wait for each other, and name look-ups that hang use
up only their own lane's threads.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Final

from services.kit import logs
from services.kit.database import Database
from services.kit.ending import die_if_failed
from services.webhooks.outbound import Outbound

WORKERS_EACH: Final = 16
DRAIN_SECONDS: Final = 3.0


class Result(Enum):
    """What an attempt tells of its endpoint."""

    NOTHING_DUE = "nothing due"
    WORKED = "worked"
    FAILED = "failed"
    NOT_TRIED = "not tried"
    RESTING = "resting"
    """Our side cannot send now: look again with the next sweep."""


@dataclass(frozen=True)
class Lane:
    """Where attempts pass: the gate to what is shared, and the connections."""

    gate: asyncio.Semaphore
    outbound: Outbound


@dataclass(frozen=True)
class Lanes:
    """The lanes for endpoints that work, that are not tried yet, and that fail."""

    working: Lane
    untried: Lane
    failing: Lane


Claimed = Callable[[bool], None]
Attempt = Callable[[str, Lane, Claimed], Awaitable[Result]]
"""Makes an endpoint's next attempt that is due, in a lane. As soon as it has one, it says whether more are due."""


class Dispatcher:
    """Runs the workers of all endpoints."""

    def __init__(self, attempt: Attempt, lanes: Lanes) -> None:
        self._attempt = attempt
        self._lanes = lanes
        self._standing: dict[str, Result] = {}  # WORKED or FAILED, of endpoints that were tried
        self._workers: Counter[str] = Counter()
        self._looking: set[str] = set()  # a worker of theirs is yet to look for what is due
        self._again: set[str] = set()  # woken when no further worker could begin: look once more
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    def wake(self, endpoint_id: str, *, is_failing: bool = False) -> None:
        """Look for what is due to an endpoint; `is_failing`: its last attempt failed, maybe by another process."""
        if is_failing:
            self._standing.setdefault(endpoint_id, Result.FAILED)
        if endpoint_id in self._looking or self._workers[endpoint_id] >= self._most(endpoint_id):
            self._again.add(endpoint_id)
        elif not self._stopping:
            self._looking.add(endpoint_id)
            self._workers[endpoint_id] += 1
            task = asyncio.create_task(self._work(endpoint_id))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(die_if_failed)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Dispatcher"]:
        """Work until the block ends; attempts on their way then may end within DRAIN_SECONDS, or are taken back."""
        try:
            yield self
        finally:
            self._stopping = True
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=DRAIN_SECONDS)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(self, endpoint_id: str) -> None:
        try:
            while await self._once(endpoint_id) and not self._stopping:
                self._looking.add(endpoint_id)
        except Database.away as error:  # what it had claimed is taken back after its lease
            self._looking.discard(endpoint_id)
            logs.get().warning("deliveries wait for the database", **logs.describe(error))
        finally:
            self._workers[endpoint_id] -= 1
            if not self._workers[endpoint_id]:
                del self._workers[endpoint_id]

    async def _once(self, endpoint_id: str) -> bool:
        """Make an attempt, and tell whether to look for another."""
        self._again.discard(endpoint_id)
        looked = False

        def claimed(more: bool) -> None:
            nonlocal looked
            looked = True
            self._looking.discard(endpoint_id)
            if more or endpoint_id in self._again:
                self.wake(endpoint_id)

        result = await self._attempt(endpoint_id, self._lane(endpoint_id), claimed)
        if not looked:
            self._looking.discard(endpoint_id)
        if result in {Result.WORKED, Result.FAILED}:
            self._standing[endpoint_id] = result
        return result is not Result.RESTING and self._goes_on(endpoint_id, result)

    def _goes_on(self, endpoint_id: str, result: Result) -> bool:
        """Tell whether a worker looks again. One that has just succeeded overtakes a colleague in a slower lane."""
        if self._workers[endpoint_id] > self._most(endpoint_id):
            return False
        if endpoint_id in self._looking:
            return result is Result.WORKED
        return endpoint_id in self._again

    def _lane(self, endpoint_id: str) -> Lane:
        match self._standing.get(endpoint_id):
            case Result.WORKED:
                return self._lanes.working
            case Result.FAILED:
                return self._lanes.failing
        return self._lanes.untried

    def _most(self, endpoint_id: str) -> int:
        return 1 if self._standing.get(endpoint_id) is Result.FAILED else WORKERS_EACH
