"""The case-management systems of the demo: webhook receivers on loopback that can be made slow and failing.

Signatures are checked by a few lines of their own, as a receiver that knows only Standard Webhooks would.
"""

import asyncio
import base64
import hmac
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from services.cli.demo.telling import NotAsTold

ARRIVES_WITHIN = 20.0  # seconds
FRESH = 300  # seconds a signature's timestamp may be off (Standard Webhooks)


@dataclass(frozen=True)
class Arrival:
    """One request: when its first byte came (Unix time), its webhook-id, whether its signature verifies, its body."""

    first_byte_at: float
    webhook_id: str
    signed: bool
    body: bytes

    @property
    def message(self) -> dict[str, Any]:
        """The body as JSON."""
        parsed: dict[str, Any] = json.loads(self.body)
        return parsed

    @property
    def data(self) -> dict[str, Any]:
        """What is told."""
        data: dict[str, Any] = self.message["data"]
        return data


@dataclass
class System:
    """One organization's system: what arrived there, and in what mood it answers.

    While `failing` it answers 503; unless `answering`, it lets requests wait. `unread` are the messages that nobody
    looked at yet, each once, however often it is sent.
    """

    secret: str = ""
    arrivals: list[Arrival] = field(default_factory=list)
    unread: asyncio.Queue[Arrival] = field(default_factory=asyncio.Queue)
    failing: bool = False
    answering: asyncio.Event = field(default_factory=asyncio.Event)
    unanswered: int = 0
    _seen: set[str] = field(default_factory=set)

    async def arrival(self, what: str) -> Arrival:
        """Return the next message; NotAsTold if there is none within ARRIVES_WITHIN."""
        try:
            return await asyncio.wait_for(self.unread.get(), ARRIVES_WITHIN)
        except TimeoutError:
            raise NotAsTold(f"{what}: nothing arrived within {ARRIVES_WITHIN:g} s") from None

    async def take(self, arrival: Arrival) -> int:
        """Keep an arrival and return the HTTP status to answer, once this system answers."""
        if arrival.webhook_id not in self._seen:
            self._seen.add(arrival.webhook_id)
            self.unread.put_nowait(arrival)
        self.arrivals.append(arrival)
        self.unanswered += 1
        try:
            await self.answering.wait()
        finally:
            self.unanswered -= 1
        return 503 if self.failing else 204


class Receiver:
    """Listens for several systems on one port of loopback."""

    def __init__(self, base_url: str, systems: Mapping[str, System]) -> None:
        self.systems = systems
        self._base_url = base_url

    def url(self, name: str) -> str:
        """Return where the system of this name listens."""
        return f"{self._base_url}/{name}"


@asynccontextmanager
async def listening(*names: str) -> AsyncIterator[Receiver]:
    """Listen for systems of these names while the block runs."""
    systems = {name: System() for name in names}
    for system in systems.values():
        system.answering.set()

    async def answer(request: web.BaseRequest) -> web.Response:
        system = systems[request.path.removeprefix("/")]
        return web.Response(status=await system.take(await _arrival(request, system.secret)))

    runner = web.ServerRunner(_TimedServer(answer), shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield Receiver(f"http://{host}:{port}", systems)
    finally:
        await runner.cleanup()


def is_signed(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether a v1 signature (HMAC-SHA256 over `id.timestamp.body`) verifies and is fresh (Standard Webhooks 1.0)."""
    timestamp = headers.get("webhook-timestamp", "")
    if not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > FRESH:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    content = f"{headers.get('webhook-id', '')}.{timestamp}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.digest(key, content, "sha256")).decode()
    return any(hmac.compare_digest(expected, one) for one in headers.get("webhook-signature", "").split(" "))


async def _arrival(request: web.BaseRequest, secret: str) -> Arrival:
    stopwatch = request.protocol
    body = await request.read()
    assert isinstance(stopwatch, _Stopwatch)  # noqa: S101 - for the type checker: _TimedServer makes no other
    webhook_id = request.headers.get("webhook-id", "")
    return Arrival(stopwatch.lap(), webhook_id, is_signed(secret, request.headers, body), body)


class _Stopwatch(web.RequestHandler):
    """A connection that notes when the first byte of each request comes."""

    _first_byte_at: float | None = None

    def data_received(self, data: bytes) -> None:
        if self._first_byte_at is None:
            self._first_byte_at = time.time()
        super().data_received(data)

    def lap(self) -> float:
        """Return when the request that was just read began, and be ready for the next."""
        began, self._first_byte_at = self._first_byte_at or time.time(), None
        return began


class _TimedServer(web.Server):
    def __call__(self) -> _Stopwatch:
        return _Stopwatch(self, loop=asyncio.get_running_loop())
