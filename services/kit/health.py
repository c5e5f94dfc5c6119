"""Whether a service lives, can do its job, and how it fares: /healthz, /readyz and /metrics."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from services.kit import logs
from services.kit.auth import public
from services.kit.problems import Problem

CHECK_SECONDS: Final = 2.0

Check = Callable[[], Awaitable[None]]
"""Returns when the part works; raises when it does not."""


def router(checks: Mapping[str, Check]) -> APIRouter:
    """Make the three routes; `checks` names each part without which the service cannot do its job."""
    routes = APIRouter(tags=["health"], dependencies=[public()])

    @routes.get("/healthz")
    async def alive() -> dict[str, str]:
        """Answer as long as the process serves at all."""
        return {"status": "ok"}

    @routes.get("/readyz")
    async def ready() -> dict[str, str]:
        """Answer 200 when every part works, else 503 and which do not."""
        parts = await states(checks)
        if "down" in parts.values():
            raise Problem("not-ready", extra={"parts": parts})
        return {"status": "ok", **parts}

    @routes.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Answer the counters in Prometheus's text format."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return routes


async def states(checks: Mapping[str, Check]) -> dict[str, str]:
    """Run all checks at once and return "ok" or "down" for each."""
    answers = await asyncio.gather(*(_state(part, check) for part, check in checks.items()))
    return dict(zip(checks, answers, strict=True))


async def _state(part: str, check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await check()
    except Exception as error:  # noqa: BLE001 - whatever a check raises is its answer, and it is told to the caller
        logs.get().warning("part is down", part=part, **logs.describe(error))
        return "down"
    return "ok"
