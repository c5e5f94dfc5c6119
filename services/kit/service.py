"""Puts a service together: admission, errors, access, health, migrations, and its own routes and running parts."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Final, Protocol

from fastapi import APIRouter, FastAPI
from fastapi.responses import JSONResponse
from prometheus_client import Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.kit import health, logs, problems
from services.kit.admission import Admission
from services.kit.assertions import AssertionVerifier
from services.kit.auth import Verifiers, public
from services.kit.problem_types import PROBLEM_TYPES
from services.kit.settings import ServiceSettings

REQUESTS: Final = Histogram(
    "threshold_http_request_seconds",
    "Time until the answer begins, by route template and status.",
    ["method", "route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0),
)
UNROUTED: Final = "unrouted"

Piece = Callable[[FastAPI], AbstractAsyncContextManager[None]]
"""A part that runs beside the routes, from before the first request until after the last: a relay, a reader."""


class Tables(Protocol):
    """What a service's database is to its composition: `services.kit.database.Database`, where there is one."""

    @property
    def away(self) -> tuple[type[Exception], ...]:
        """The errors that say that it can't be reached."""

    async def migrate(self, service: str) -> None:
        """Bring its tables up to the service's newest migration."""

    async def ping(self) -> None:
        """Return when it answers; raises otherwise."""

    async def close(self) -> None:
        """Close every connection."""


def create_service(
    settings: ServiceSettings,
    *,
    routers: Sequence[APIRouter] = (),
    database: Tables | None = None,
    pieces: Sequence[Piece] = (),
    checks: Mapping[str, health.Check] | None = None,
    clock: Callable[[], float] = time.time,
) -> FastAPI:
    """Make a service's application.

    At start, before it answers anything: its migrations (when it has a database), then each piece in turn. Routes find
    `app.state.settings`, `app.state.database` and `app.state.verifiers`. /readyz checks the database and `checks`.
    `app.state.stopping` is set when the process is about to stop, for answers that would go on.
    """
    logs.configure(settings.service)
    parts = {**({"database": database.ping} if database else {}), **(checks or {})}
    app = FastAPI(
        title=f"Threshold: {settings.service}",
        version="1",
        lifespan=_lifespan(settings, database, pieces),
        docs_url=None,  # the pages load scripts from elsewhere; the document itself is at /openapi.json
        redoc_url=None,
        responses={"4XX": problems.ANSWER, "5XX": problems.ANSWER},
    )
    app.state.settings = settings
    app.state.database = database
    app.state.stopping = asyncio.Event()
    app.state.verifiers = Verifiers(
        settings.assertion_public_keys["governance"],
        AssertionVerifier(settings.service, settings.assertion_public_keys),
        clock,
    )
    problems.install(app, database.away if database else ())
    app.add_middleware(Admission)
    app.add_middleware(Measured)
    for router in [*routers, health.router(parts), _problem_types()]:
        app.include_router(router)
    return app


def _lifespan(
    settings: ServiceSettings, database: Tables | None, pieces: Sequence[Piece]
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as running:
            try:
                if database:
                    running.push_async_callback(database.close)
                    await database.migrate(settings.service)
                for piece in pieces:
                    await running.enter_async_context(piece(app))
            except Exception as error:
                logs.get().critical("not started", **logs.describe(error))
                raise
            logs.get().info("ready")
            yield
            logs.get().info("stopping")

    return lifespan


def _problem_types() -> APIRouter:
    router = APIRouter(tags=["problems"], dependencies=[public()])

    @router.get("/problems/{name}")
    async def problem_type(name: str) -> JSONResponse:
        """Explain a problem type: what its URI reference leads to."""
        if name not in PROBLEM_TYPES:
            raise problems.Problem("not-found")
        found = PROBLEM_TYPES[name]
        return JSONResponse({"status": found.status, "title": found.title, "meaning": found.meaning})

    return router


class Measured:
    """ASGI middleware: counts and times answers by route template, never by address, which may hold a client id."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Time one request until its answer begins: a stream may go on for hours."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = False
        started = time.perf_counter()

        async def noting(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                _note(scope, message["status"], started)
            await send(message)

        try:
            await self.app(scope, receive, noting)
        finally:
            if not began:
                _note(scope, 500, started)


def _note(scope: Scope, status: int, started: float) -> None:
    route = getattr(scope.get("route"), "path", None)
    method = scope["method"] if route else UNROUTED  # a caller can invent methods, and each would be a series
    REQUESTS.labels(method, route or UNROUTED, status).observe(time.perf_counter() - started)
