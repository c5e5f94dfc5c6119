"""The referrals service's composition root."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI

from services.kit import topics
from services.kit.clients import ServiceClient
from services.kit.control import ControlView
from services.kit.database import Database
from services.kit.service import create_service
from services.kit.settings import DatabaseSettings
from services.referrals import api, worker
from services.referrals.intake import Desk
from services.referrals.publishing import TOPIC

NAME: Final = "referrals"


def create_app() -> FastAPI:
    """Make the referrals service's application from the environment."""
    settings = DatabaseSettings.read(NAME)
    return compose(settings, ServiceClient(settings, "consent"))


def compose(settings: DatabaseSettings, consent: ServiceClient) -> FastAPI:
    """Make the referrals service's application; `consent` is whom it asks for clients' keys."""
    database = Database(settings.database_url)
    view = ControlView(settings.root_fingerprint, topics.load()[TOPIC].partitions)
    disclosures, relay = worker.reader_of_disclosures(settings), worker.relay_of(settings)

    @asynccontextmanager
    async def referring(app: FastAPI) -> AsyncIterator[None]:
        app.state.desk = Desk(consent, view, disclosures, relay)
        try:
            async with worker.working(settings, database, view, disclosures, relay):
                yield
        finally:
            await consent.close()

    return create_service(
        settings,
        routers=[api.router],
        database=database,
        pieces=[referring],
        checks={"disclosures": disclosures.ping},
    )
