"""Readers of the feed, over real sockets: one that keeps what it is told as a browser would, and a server for it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from services.kit.streaming import Connection, StreamingServer
from tests.support.ports import free_port_base
from tests.support.waiting import wait_until_async


@dataclass(frozen=True)
class Event:
    """One server-sent event."""

    name: str
    id: str | None
    data: dict[str, Any]


@dataclass
class Listener:
    """What a reader was told, and what it knows by that: unit id -> the unit."""

    events: list[Event] = field(default_factory=list)
    known: dict[str, dict[str, Any]] = field(default_factory=dict)
    last_id: str | None = None
    retry: int | None = None
    head: dict[str, str] = field(default_factory=dict)
    ended: bool = False

    def names(self) -> list[str]:
        """What it was told, heartbeats aside."""
        return [event.name for event in self.events if event.name != "heartbeat"]

    def of(self, name: str) -> list[dict[str, Any]]:
        return [event.data for event in self.events if event.name == name]

    def hear(self, lines: list[str]) -> None:
        """Take one event, as its lines; as the standard has it, an event without data is none."""
        fields = dict(line.split(": ", 1) for line in lines)
        if "retry" in fields:
            self.retry = int(fields["retry"])
        if "data" not in fields:
            return
        event = Event(fields["event"], fields.get("id"), json.loads(fields["data"]))
        self.last_id = event.id or self.last_id
        if event.name == "snapshot":
            self.known = {}
        self.known |= {unit["unit_id"]: unit for unit in event.data.get("items", ())}
        for unit_id in event.data.get("removed", ()):
            self.known.pop(unit_id, None)
        self.events.append(event)

    async def until(self, name: str, times: int = 1) -> dict[str, Any]:
        """Wait for an event's nth time, and return its data."""
        await wait_until_async(lambda: len(self.of(name)) >= times, what=f"{name} no. {times} among {self.names()}")
        return self.of(name)[times - 1]

    async def hears(self, events: int) -> None:
        """Wait until it has heard so many events in all, heartbeats too."""
        await wait_until_async(lambda: len(self.events) >= events, what=f"{events} events")

    async def knows(self, unit_id: str, **values: Any) -> None:
        """Wait until a unit is known to have these values."""

        def there() -> bool:
            return unit_id in self.known and values.items() <= self.known[unit_id].items()

        await wait_until_async(there, what=f"{values} in {self.known.get(unit_id)}")

    async def reaches(self, offset: int) -> None:
        """Wait until it was told of a record."""

        def told() -> bool:
            return self.last_id is not None and int(self.last_id.rsplit(":", 1)[1]) >= offset

        await wait_until_async(told, what=f"offset {offset} after {self.last_id}")

    async def forgets(self, unit_id: str) -> None:
        """Wait until a unit is not known any more."""
        await wait_until_async(lambda: unit_id not in self.known, what="the unit to be removed")


@asynccontextmanager
async def listening(
    url: str, headers: dict[str, str], listener: Listener | None = None, **parameters: str
) -> AsyncIterator[Listener]:
    """Read the feed while the block runs; a listener that heard something before goes on from there."""
    listener = listener or Listener()
    resumed = {"Last-Event-ID": listener.last_id} if listener.last_id else {}
    async with (
        httpx.AsyncClient(trust_env=False, timeout=30) as http,
        http.stream("GET", f"{url}/feed", headers=headers | resumed, params=parameters) as answer,
    ):
        assert answer.status_code == 200, await answer.aread()
        listener.head, listener.ended = dict(answer.headers), False
        hearing = asyncio.create_task(_hear(answer, listener))
        try:
            yield listener
        finally:
            hearing.cancel()
            with suppress(asyncio.CancelledError):
                await hearing


async def _hear(answer: httpx.Response, listener: Listener) -> None:
    lines: list[str] = []
    with suppress(httpx.TransportError):
        async for line in answer.aiter_lines():
            if line:
                lines.append(line)
            else:
                listener.hear(lines)
                lines = []
    listener.ended = True


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[str]:
    """Run an application, its lifespan too, on a socket as our processes do; gives its URL."""
    with free_port_base() as base:
        async with served_at(app, base + 4) as url:
            yield url


@asynccontextmanager
async def served_at(app: FastAPI, port: int) -> AsyncIterator[str]:
    """Run an application on a port."""
    config = uvicorn.Config(app, port=port, http=Connection, log_config=None, access_log=False)
    server = StreamingServer(config, app.state.stopping.set)
    serving = asyncio.create_task(server._serve())  # it is not the one to take this process's signals
    await wait_until_async(lambda: server.started or serving.done(), what="the server")
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await serving
