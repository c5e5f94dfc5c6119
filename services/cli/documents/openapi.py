"""The OpenAPI document of each service, from the application as it is composed, with nothing behind it."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Final

from deploy.local.secrets import generate_secrets
from deploy.local.services import SERVICES

NOWHERE: Final = "127.0.0.1:1"


def documents() -> dict[str, dict[str, Any]]:
    """Give each service's document, as it serves it at /openapi.json."""
    names = [service.name for service in SERVICES]
    needed = generate_secrets() | {
        "THRESHOLD_KAFKA": NOWHERE,
        "THRESHOLD_DATABASE_URL": "postgresql+psycopg://nobody@/nothing?host=/nowhere",
        "THRESHOLD_SERVICES": json.dumps(dict.fromkeys(names, f"http://{NOWHERE}")),
    }
    with _environment(needed):
        return {name: import_module(f"services.{name}.app").create_app().openapi() for name in names}


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
