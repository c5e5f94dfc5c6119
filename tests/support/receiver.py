"""A receiver of webhooks: a real HTTP server that keeps what came and answers as a test wants."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook

from tests.support.published import check_message
from tests.support.waiting import wait_until_async


@dataclass
class Received:
    """One request as it came."""

    headers: dict[str, str]
    raw: bytes
    at: float

    @property
    def body(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.raw)
        return content

    @property
    def data(self) -> dict[str, Any]:
        content: dict[str, Any] = self.body["data"]
        return content

    @property
    def webhook_id(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> dict[str, Any]:
        """The body, if an independent implementation of Standard Webhooks accepts it, and it is as published."""
        content: dict[str, Any] = Webhook(secret).verify(self.raw, self.headers)
        check_message(content)
        return content


@dataclass
class Desk:
    """One path of the receiver. `answers` are given once each, then 200; while `open` is not set it does not answer."""

    url: str
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    always: tuple[int, dict[str, str]] = (200, {})
    open: asyncio.Event = field(default_factory=asyncio.Event)
    received: list[Received] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.open.set()

    async def wait(self, count: int = 1, deadline: float = 30.0) -> list[Received]:
        """Return what was received, once it is `count` requests or more."""
        await wait_until_async(
            lambda: len(self.received) >= count, what=f"{count} requests (have {len(self.received)})", deadline=deadline
        )
        return self.received


@dataclass
class Receiver:
    """Desks by name: `receiver.desk("shelter")` is at its own URL."""

    base: str = ""
    desks: dict[str, Desk] = field(default_factory=dict)

    def desk(self, name: str) -> Desk:
        return self.desks.setdefault(name, Desk(f"{self.base}/{name}"))

    async def take(self, request: web.Request) -> web.StreamResponse:
        desk = self.desk(request.match_info["name"])
        desk.received.append(Received(dict(request.headers), await request.read(), time.monotonic()))
        status, headers = desk.answers.pop(0) if desk.answers else desk.always
        await desk.open.wait()
        return web.Response(status=status, headers=headers, text="receivers' answers are nobody's business")


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Serve on a free port of this machine."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/{name}", receiver.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield receiver
    finally:
        for desk in receiver.desks.values():
            desk.open.set()
        await runner.cleanup()
