"""Client codes as desks ask for them and type them in, at a running consent service."""

from typing import Any, Final

import httpx

from tests.support.control_records import OUTREACH, SHELTER
from tests.support.governance import is_problem
from tests.support.registry import Registry

WRONG: Final = "0000-0000-000"
MISSPELLED: Final = "0000-0000-001"


async def code_of(registry: Registry, client: str, organization: str = OUTREACH) -> str:
    made = await registry.post(organization, f"/clients/{client}/code")
    assert made.status_code == 201, made.text
    assert made.json().keys() == {"code", "expires_at"}
    assert made.headers["cache-control"] == "no-store"
    return str(made.json()["code"])


async def link(registry: Registry, code: str, organization: str = SHELTER, **more: Any) -> httpx.Response:
    return await registry.post(organization, "/clients/code-links", {"code": code, **more})


async def unknown(registry: Registry, code: str, organization: str = SHELTER) -> bytes:
    answer = await link(registry, code, organization)
    is_problem(answer, 404, "unknown-code", "code")
    return answer.content
