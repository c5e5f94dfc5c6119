"""Audit's composition root."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from fastapi import FastAPI

from services.audit import api, reading
from services.audit.pseudonyms import Pseudonyms
from services.kit.database import Database
from services.kit.reader import DatabaseReader, answered_offset
from services.kit.required import require_topics
from services.kit.service import create_service
from services.kit.settings import DatabaseSettings
from services.kit.together import together

NAME: Final = "audit"
PATIENCE: Final = 0.5  # seconds; nobody waits here for what happened a moment ago


def create_app() -> FastAPI:
    """Make audit's application from the environment."""
    return compose(DatabaseSettings.read(NAME))


def compose(settings: DatabaseSettings) -> FastAPI:
    """Make audit's application: it follows events, decisions and deliveries, and shows to each what is its own."""
    database = Database(settings.database_url)
    readers = _readers(settings)

    @asynccontextmanager
    async def following(app: FastAPI) -> AsyncIterator[None]:
        app.state.pseudonyms = Pseudonyms.of(settings.assertion_key)
        await require_topics(settings.kafka, NAME)
        # In this order, so that at the end each is done before the one that it waits for.
        async with together(*(reader.running() for reader in readers)):
            yield

    return create_service(
        settings, routers=[api.router], database=database, pieces=[following], checks={"kafka": readers[0].ping}
    )


def _readers(settings: DatabaseSettings) -> list[DatabaseReader]:
    reader = partial(DatabaseReader, NAME, kafka=settings.kafka, database_url=settings.database_url, patience=PATIENCE)
    return [
        reader(reading.EVENTS, apply=reading.apply_events),
        reader(reading.DISCLOSURES, apply=reading.apply_disclosures, source_offset=answered_offset),
        reader(reading.DELIVERIES, apply=reading.apply_deliveries),
    ]
