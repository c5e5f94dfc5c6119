"""The composition root of shelter_beds."""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI

from services.kit.attempts import Attempts
from services.kit.clients import DelegatedClient, ServiceClient
from services.kit.database import Database
from services.kit.service import create_service
from services.shelter_beds import api, holds_api, worker
from services.shelter_beds.board import finding, holding, referring, serving, sign_in
from services.shelter_beds.board.contacts import Contacts
from services.shelter_beds.board.credentials import Credentials
from services.shelter_beds.board.session import Seal
from services.shelter_beds.board.sessions import CookieFollower, CookieSessions
from services.shelter_beds.feed import api as feed_api
from services.shelter_beds.feed.piece import Feed
from services.shelter_beds.feed.places import Places
from services.shelter_beds.feed.rhythm import Rhythm
from services.shelter_beds.interop import api as interop
from services.shelter_beds.settings import BedsSettings

NAME: Final = "shelter_beds"
PAGES: Final = (sign_in, finding, holding, referring, serving)


def create_app() -> FastAPI:
    """Make the application of shelter_beds from the environment."""
    settings = BedsSettings.read(NAME)
    return compose(settings, ServiceClient(settings, "governance"))


def compose(
    settings: BedsSettings,
    governance: ServiceClient,
    rhythm: Rhythm | None = None,
    delegated: Mapping[str, DelegatedClient] | None = None,
    clock: Callable[[], float] = time.time,
) -> FastAPI:
    """Make the application; it asks `governance` for projects, and `delegated` on behalf of who signed in.

    `rhythm` is the feed's.
    """
    database = Database(settings.database_url)
    places = Places(settings.feed_connections_per_client, settings.feed_filters)
    feed = Feed(settings.kafka, rhythm or Rhythm(), places)
    clients = delegated or {name: DelegatedClient(settings, name) for name in ("governance", "referrals")}

    @asynccontextmanager
    async def keeping(app: FastAPI) -> AsyncIterator[None]:
        app.state.governance = governance
        try:
            async with worker.working(settings, database, governance):
                yield
        finally:
            await governance.close()
            for client in clients.values():
                await client.close()

    app = create_service(
        settings,
        routers=[
            *(api.router, holds_api.router, feed_api.router),
            *(pages.router for pages in PAGES),
            *interop.ROUTERS,
        ],
        database=database,
        pieces=[keeping, feed.piece],
        checks={"feed": feed.check},
        clock=clock,
    )
    _sign_in_to(app, settings, clients, clock)
    return app


def _sign_in_to(
    app: FastAPI, settings: BedsSettings, clients: Mapping[str, DelegatedClient], clock: Callable[[], float]
) -> None:
    """Give the pages what they need."""
    credentials = Credentials(clients["governance"], settings.assertion_public_keys["governance"], clock)
    secure = not settings.allow_loopback_pages
    sessions = CookieSessions(Seal.of(settings.assertion_key), credentials, clock, secure=secure)
    app.state.sessions = sessions
    app.state.attempts = Attempts()
    app.state.contacts = Contacts(clock)
    app.state.delegated = clients
    app.add_middleware(CookieFollower, sessions=sessions)
