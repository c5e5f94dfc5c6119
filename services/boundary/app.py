"""The composition root of the boundary."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from faust.contrib.asgi import faust_app_running

from services.boundary.settings import BoundarySettings
from services.boundary.worker import Boundary
from services.kit.problems import Problem
from services.kit.required import require_topics
from services.kit.service import create_service


def create_app() -> FastAPI:
    """Make the boundary from its environment."""
    settings = BoundarySettings.read("boundary")
    boundary = Boundary(settings)

    @asynccontextmanager
    async def deciding(_: FastAPI) -> AsyncIterator[None]:
        await require_topics(settings.kafka, settings.service)
        async with faust_app_running(boundary.app):
            yield
        boundary.save_all()

    async def reading() -> None:
        if not boundary.app.batch_consumer.flow_active:
            raise Problem("dependency-down")

    return create_service(settings, pieces=[deciding], checks={"client-events": reading})
