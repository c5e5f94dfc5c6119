"""A boundary under a name of its own in the consumer group: two that share one name evict each other for ever."""

from functools import partial

from fastapi import FastAPI

from services.boundary import app, worker
from services.kit.batches import batch_app


def create_app() -> FastAPI:
    """Make it from its environment; for a process of its own."""
    vars(worker)["batch_app"] = partial(batch_app, instance="second")  # the name is no setting of the boundary
    return app.create_app()
