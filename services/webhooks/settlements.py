"""Tells the custodian what became of its releases: soon, in order, together, and until it has heard."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final

from services.kit import logs
from services.kit.ending import die_if_failed
from services.webhooks.custodian import Custodian, CustodianDownError, CustodianRefusedError, ReleaseState, Settlement

AT_ONCE: Final = 200
RETRY_SECONDS: Final = 0.5
TOGETHER_SECONDS: Final = 0.1
"""For how long what was noted waits for company: of a receiver that answers at once, only one call tells."""
LAST_WORD_SECONDS: Final = 2.0


class Settlements:
    """What is yet to be told, the newest state of each release; `running` tells it.

    One call is under way at a time, so what is noted meanwhile goes together, and no state overtakes a later one.
    What is lost with the process is counted by the custodian as in doubt once the lease has run out.
    """

    def __init__(self, custodian: Custodian) -> None:
        self._custodian = custodian
        self._waiting: dict[str, ReleaseState] = {}
        self._noted = asyncio.Event()
        self._all_told = asyncio.Event()
        self._all_told.set()

    def note(self, release_id: str | None, state: ReleaseState) -> None:
        """Note what became of a release; nothing for an answer that released nothing."""
        if release_id is not None:
            self._waiting[release_id] = state
            self._noted.set()
            self._all_told.clear()

    def noting(self, release_id: str | None, state: ReleaseState) -> Callable[[], None]:
        """Return the call that notes it."""
        return partial(self.note, release_id, state)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Settlements"]:
        """Tell until the block ends, and then once more what is left."""
        task = asyncio.create_task(self._run())
        task.add_done_callback(die_if_failed)
        try:
            yield self
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORD_SECONDS):
                    await self._all_told.wait()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        while True:
            await self._noted.wait()
            await asyncio.sleep(TOGETHER_SECONDS)
            self._noted.clear()
            while self._waiting:
                await self._tell(dict(list(self._waiting.items())[:AT_ONCE]))
            self._all_told.set()

    async def _tell(self, batch: dict[str, ReleaseState]) -> None:
        settlements = [Settlement(release_id=release_id, state=state) for release_id, state in batch.items()]
        try:
            await self._custodian.settle(settlements)
        except CustodianDownError:
            await asyncio.sleep(RETRY_SECONDS)
            return
        except CustodianRefusedError as error:  # told again it would be refused again: in doubt until its lease ends
            logs.get().error("settlements refused", count=len(settlements), **logs.describe(error))
        for release_id, state in batch.items():
            if self._waiting.get(release_id) == state:
                del self._waiting[release_id]
