"""Asking as a client program should: the same again, under the same key, until there is an answer."""

from typing import Any

import httpx

from services.kit.keys import random_id
from tests.support.providers import Provider
from tests.support.waiting import wait_until_async

WAIT = "wait=10"


async def answered(
    provider: Provider, service: str, path: str, body: object, *expected: int, deadline: float = 90.0
) -> Any:
    """Post, and again while the service is away, does not know yet or answers 202 where 200 is expected."""
    url = f"{provider.services[service]}{path}"
    headers = {"Idempotency-Key": random_id(), "Prefer": WAIT}

    async def asked() -> httpx.Response | None:
        try:
            answer = await provider.http.post(url, json=body, headers=headers)
        except httpx.TransportError:
            return None
        assert answer.status_code in {*expected, 202, 503}, answer.text
        return answer if answer.status_code in expected else None

    found = await wait_until_async(asked, what=f"an answer to POST {path}", deadline=deadline)
    return found.json()
