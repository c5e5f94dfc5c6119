"""The feed as a part of a service: what it needs of the settings, the state it sets, the check it adds."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI

from services.kit import open_files
from services.kit.connecting import Kafka
from services.shelter_beds.feed.following import Following
from services.shelter_beds.feed.hub import Hub
from services.shelter_beds.feed.places import Places
from services.shelter_beds.feed.rhythm import Rhythm
from services.shelter_beds.feed.view import Availability

OPEN_FILES: Final = 16384


class Feed:
    """The view of the log, its readers, and what keeps both: `piece` and `check` are for `create_service`."""

    def __init__(self, kafka: Kafka, rhythm: Rhythm, places: Places) -> None:
        self.view = Availability()
        self.hub = Hub(self.view, rhythm)
        self.places = places
        self._following = Following(kafka, self.view, self.hub, rhythm)
        self.check = self._following.check

    @asynccontextmanager
    async def piece(self, app: FastAPI) -> AsyncIterator[None]:
        """Read and tell while the service runs.

        `app.state.availability` is the view, `app.state.feed` the readers, `app.state.feed_places` their bounds.
        """
        open_files.allow(OPEN_FILES)
        app.state.availability, app.state.feed, app.state.feed_places = self.view, self.hub, self.places
        async with self._following.running():
            farewell = asyncio.create_task(self._say_goodbye(app.state.stopping))
            try:
                yield
            finally:
                farewell.cancel()
                self.hub.stop()

    async def _say_goodbye(self, stopping: asyncio.Event) -> None:
        await stopping.wait()
        self.hub.stop()
