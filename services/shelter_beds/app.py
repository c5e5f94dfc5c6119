"""The composition root of shelter_beds."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI

from services.kit.clients import ServiceClient
from services.kit.database import Database
from services.kit.service import create_service
from services.kit.settings import DatabaseSettings
from services.shelter_beds import api, holds_api, worker
from services.shelter_beds.feed import api as feed_api
from services.shelter_beds.feed.piece import Feed
from services.shelter_beds.feed.rhythm import Rhythm

NAME: Final = "shelter_beds"


def create_app() -> FastAPI:
    """Make the application of shelter_beds from the environment."""
    settings = DatabaseSettings.read(NAME)
    return compose(settings, ServiceClient(settings, "governance"))


def compose(settings: DatabaseSettings, governance: ServiceClient, rhythm: Rhythm | None = None) -> FastAPI:
    """Make the application; `governance` is whom it asks for projects, `rhythm` the feed's."""
    database = Database(settings.database_url)
    feed = Feed(settings.kafka, rhythm or Rhythm())

    @asynccontextmanager
    async def keeping(app: FastAPI) -> AsyncIterator[None]:
        app.state.governance = governance
        try:
            async with worker.working(settings, database):
                yield
        finally:
            await governance.close()

    return create_service(
        settings,
        routers=[api.router, holds_api.router, feed_api.router],
        database=database,
        pieces=[keeping, feed.piece],
        checks={"feed": feed.check},
    )
