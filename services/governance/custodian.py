"""Asks the custodian how far it has read the control records: only then is an agreement said to be suspended."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from services.governance import records, store
from services.governance.model import Step
from services.kit import logs
from services.kit.clients import DependencyDown, ServiceClient
from services.kit.database import Database, now
from services.kit.ending import die

ASK_EVERY: Final = 0.1
"""Seconds between two questions while a suspension is pending."""
LOOK_EVERY: Final = 5.0
"""Seconds between two looks for suspensions that a process before this one has left pending."""

Positions = Callable[[], Awaitable[Sequence[int]]]
"""Gives, per partition, the offset up to which the custodian has applied the control records; DependencyDown."""


def positions_from(client: ServiceClient) -> Positions:
    """Ask the consent service's `GET /control-position`."""

    async def positions() -> Sequence[int]:
        answer = await client.get("/control-position")
        if answer.status_code != 200:
            raise DependencyDown("consent")
        found: dict[str, int] = answer.json()["positions"]
        return [found[str(partition)] for partition in range(len(found))]

    return positions


class Suspensions:
    """Turns `suspending` agreements into `suspended` ones as the custodian comes to know of them."""

    def __init__(self, database: Database, custodian: Positions) -> None:
        self._database = database
        self._custodian = custodian
        self._requested = asyncio.Event()

    def requested(self) -> None:
        """Say that a suspension was just committed."""
        self._requested.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Watch over suspensions until the block ends."""
        task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _watch(self) -> None:
        try:
            while True:
                pending = await self.confirm()
                await _happened(self._requested, ASK_EVERY if pending else LOOK_EVERY)
        except Exception as error:  # noqa: BLE001 - a watch that ended would leave suspensions unconfirmed for ever
            die("Suspensions are watched no more:", error)

    async def confirm(self) -> bool:
        """Mark as suspended what the custodian has seen; return whether there was anything to ask it about."""
        async with self._database.transaction() as session:
            pending = await store.suspending(session)
        if pending:
            try:
                seen = await self._custodian()
            except DependencyDown:
                logs.get().warning("custodian does not answer", dependency="consent", count=len(pending))
                return True
            for agreement in pending:
                await self._confirm(agreement.id, seen)
        return bool(pending)

    async def _confirm(self, agreement_id: str, seen: Sequence[int]) -> None:
        key = records.agreement_key(agreement_id)
        async with self._database.transaction() as session:
            agreement = await store.agreement(session, agreement_id, None, lock=True)
            if Step(agreement.step) is not Step.SUSPENDING or not await store.on_every_partition(session, key):
                return
            noted = await store.noted_positions(session, key)
            if all(seen[partition] >= following for partition, following in noted.items()):
                agreement.step = Step.SUSPENDED
                agreement.suspended_at = await now(session)


async def _happened(event: asyncio.Event, seconds: float) -> None:
    """Wait until the event or for `seconds`, whichever is first."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
    event.clear()
