"""A receiver of webhooks that takes its time, and knows from the system when each request's first byte came."""

import io
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.receiver import Received, Receiver

PAUSE = 0.8  # seconds from a request to its answer
# Linux's own numbers, which Python does not name.
SO_TIMESTAMP = SCM_TIMESTAMP = 29
TIMEVAL = struct.Struct("@ll")


@dataclass
class SlowReceiver(Receiver):
    """Answers each request PAUSE seconds late until `hurry` is set; `at` of what it received is seconds since 1970.

    On a busy machine a program may see a request long after it came; so the time is the one at which the kernel had
    it. Where a system does not tell, it is the one of reading: never too early.
    """

    hurry: threading.Event = field(default_factory=threading.Event)

    def answer_all(self) -> None:
        """Answer now all that wait, and only them: their senders all turn to what is next."""
        held, self.hurry = self.hurry, threading.Event()
        held.set()

    def keep(self, name: str, received: Received) -> None:
        """Keep what came for a desk, and return when it is to be answered."""
        self.desk(name).received.append(received)
        self.hurry.wait(PAUSE)


@contextmanager
def receiving_slowly() -> Iterator[SlowReceiver]:
    """Serve on a free port of this machine, each connection in a thread of its own."""
    receiver = SlowReceiver()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Connection, receiver)) as server:
        ask_for_moments(server.socket)  # accepted connections inherit it
        receiver.base = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield receiver
        finally:
            receiver.hurry.set()
            server.shutdown()


def ask_for_moments(connection: socket.socket) -> None:
    """Let the system say when what is read came."""
    if sys.platform == "linux":
        connection.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMP, 1)


class Arriving(io.RawIOBase):
    """What comes on a connection; `began` is when the first byte came since it was last None."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.began: float | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        try:
            count, ancillary, *_ = self._connection.recvmsg_into([buffer], socket.CMSG_SPACE(TIMEVAL.size))
        except ConnectionError:  # its sender was killed
            return 0
        if self.began is None and count:
            self.began = _moment(ancillary)
        return count


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, receiver: SlowReceiver, *about: Any) -> None:
        self._receiver = receiver
        super().__init__(*about)

    def setup(self) -> None:
        super().setup()
        self._arriving = Arriving(self.connection)
        self.rfile = io.BufferedReader(self._arriving)

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        began, self._arriving.began = self._arriving.began, None
        assert began is not None
        headers = {name.lower(): value for name, value in self.headers.items()}
        self._receiver.keep(self.path.strip("/"), Received(headers, raw, began))
        try:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()
        except ConnectionError:  # its sender was killed
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def _moment(ancillary: list[tuple[int, int, bytes]]) -> float:
    for level, kind, value in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, SCM_TIMESTAMP):
            seconds, microseconds = TIMEVAL.unpack(value)
            return float(seconds + microseconds / 1e6)
    return time.time()
