"""Puts the consent service together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from services.consent import api, codes_api, custodian_api, renewing_api
from services.consent.key_encryption import LocalKeyEncryption
from services.consent.organizations import Organizations
from services.consent.settings import ConsentSettings
from services.consent.worker import following, working
from services.kit import topics
from services.kit.clients import ServiceClient, Transport
from services.kit.control import TOPIC, ControlView
from services.kit.database import Database
from services.kit.service import Piece, create_service


def create_app(settings: ConsentSettings | None = None, *, governance: Transport | None = None) -> FastAPI:
    """Make the application: what uvicorn runs. `governance` is how that service is reached, if not over the network."""
    settings = settings or ConsentSettings.read("consent")
    database = Database(settings.database_url)
    view = ControlView(settings.root_fingerprint, topics.load()[TOPIC].partitions, of_clients=True)
    encryption = LocalKeyEncryption(settings.key_encryption_key)
    directory = ServiceClient(settings, "governance", transport=governance)
    app = create_service(
        settings,
        routers=[codes_api.router, api.router, renewing_api.router, custodian_api.router],
        database=database,
        pieces=[_closing(directory), working(settings, database, view, encryption)],
        checks={"log": following(view)},
    )
    app.state.organizations = Organizations(view, directory, encryption)
    return app


def _closing(client: ServiceClient) -> Piece:
    @asynccontextmanager
    async def piece(_: FastAPI) -> AsyncIterator[None]:
        yield
        await client.close()

    return piece
