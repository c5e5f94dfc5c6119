"""Asks the custodian how far it has read the control records: only then is an agreement said to be narrowed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from services.governance import records, store, tables
from services.governance.model import Step
from services.kit import logs
from services.kit.clients import DependencyDown, ServiceClient
from services.kit.database import Database, now
from services.kit.ending import die

ASK_EVERY: Final = 0.1
"""Seconds between two questions while a narrowing is pending."""
LOOK_EVERY: Final = 5.0
"""Seconds between two looks for narrowings that a process before this one has left pending."""

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


class Narrowings:
    """Says of suspensions, departures and supersessions that they are done, as the custodian comes to know of them."""

    def __init__(self, database: Database, custodian: Positions) -> None:
        self._database = database
        self._custodian = custodian
        self._requested = asyncio.Event()

    def requested(self) -> None:
        """Say that a narrowing was just committed."""
        self._requested.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Watch over narrowings until the block ends."""
        task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _watch(self) -> None:
        try:
            while True:
                pending = await self._confirmed()
                await _happened(self._requested, ASK_EVERY if pending else LOOK_EVERY)
        except Exception as error:  # noqa: BLE001 - a watch that ended would leave narrowings unconfirmed for ever
            die("Narrowings of agreements are watched no more:", error)

    async def _confirmed(self) -> bool:
        """Do what `confirm` does, and again soon while the database is away."""
        try:
            return await self.confirm()
        except Database.away as error:
            logs.get().warning("narrowings of agreements wait for the database", **logs.describe(error))
            return True

    async def confirm(self) -> bool:
        """Mark as done what the custodian has seen; return whether there was anything to ask it about."""
        async with self._database.transaction() as session:
            pending = await store.narrowing(session)
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
        async with self._database.transaction() as session:
            agreement = await store.agreement(session, agreement_id, None, lock=True)
            if not all([await _has_seen(session, id_, seen) for id_ in _speaking_of(agreement)]):
                return
            moment = await now(session)
            match Step(agreement.step):
                case Step.SUSPENDING:
                    agreement.step, agreement.suspended_at = Step.SUSPENDED, moment
                case Step.SUPERSEDING:
                    agreement.step, agreement.superseded_at = Step.SUPERSEDED, moment
            for departure in await store.departures(session, agreement_id):
                departure.effective_at = departure.effective_at or moment


def _speaking_of(agreement: tables.Agreement) -> list[str]:
    """The agreements whose records may narrow this one: its own, and its successor's."""
    return [agreement.id, *([agreement.superseded_by] if agreement.superseded_by else [])]


async def _has_seen(session: AsyncSession, agreement_id: str, seen: Sequence[int]) -> bool:
    """Whether the log has every record under this id, and the custodian has read them all."""
    key = records.agreement_key(agreement_id)
    if not await store.all_taken(session, key):  # first: positions read before the last is taken are of before
        return False
    return all(seen[each] >= following for each, following in (await store.noted_positions(session, key)).items())


async def _happened(event: asyncio.Event, seconds: float) -> None:
    """Wait until the event or for `seconds`, whichever is first."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
    event.clear()
