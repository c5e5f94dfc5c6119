"""Every service's app as it is composed, with nothing behind it."""

import importlib
import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fastapi import FastAPI

from deploy.local.secrets import generate_secrets
from deploy.local.services import SERVICES

NAMES = [service.name for service in SERVICES]
SECRETS = generate_secrets()


@contextmanager
def composed() -> Iterator[dict[str, FastAPI]]:
    """Make the apps, by the services' names: what is refused, or only described, needs no database."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in SECRETS.items():
            environment.setenv(name, value)
        environment.setenv("THRESHOLD_KAFKA", "127.0.0.1:1")
        environment.setenv("THRESHOLD_DATABASE_URL", "postgresql+psycopg://nobody@/nothing?host=/nowhere")
        environment.setenv("THRESHOLD_SERVICES", json.dumps(dict.fromkeys(NAMES, "http://127.0.0.1:1")))
        made = {name: importlib.import_module(f"services.{name}.app").create_app() for name in NAMES}
        yield made
        for client in made["shelter_beds"].state.delegated.values():  # no lifespan closes them, their loops are gone
            if client._network._session is not None:
                client._network._session.detach()
