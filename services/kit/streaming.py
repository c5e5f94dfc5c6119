"""Lets an answer that never ends write to its connection by itself, and hear when the process is about to stop.

Through ASGI alone a stream cannot be written to without waking its task, nor be dropped while its reader takes nothing.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Final, cast

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

EXTENSION: Final = "threshold.transport"


class Connection(HttpToolsProtocol):
    """An HTTP connection whose requests know their transport."""

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.scope["extensions"] = {EXTENSION: {"transport": self.transport}}


class StreamingServer(uvicorn.Server):
    """Tells the application that it stops before it waits for open answers: a stream would not end by itself.

    `stopping` is what tells it: `app.state.stopping.set`.
    """

    def __init__(self, config: uvicorn.Config, stopping: Callable[[], None]) -> None:
        super().__init__(config)
        self._stopping = stopping

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End what is open, then the process."""
        self._stopping()
        await super().shutdown(sockets)


async def begin(scope: Scope, send: Send, headers: list[tuple[bytes, bytes]]) -> asyncio.Transport:
    """Send the head of an answer, and return the transport; what follows is in chunks, written by the caller."""
    transport = cast("asyncio.Transport", scope["extensions"][EXTENSION]["transport"])
    chunked = (b"transfer-encoding", b"chunked")
    await send({"type": "http.response.start", "status": 200, "headers": [*headers, chunked]})
    return transport


async def ended(receive: Receive) -> None:
    """Wait until the connection is closed, by either side."""
    while (await receive())["type"] != "http.disconnect":
        pass
