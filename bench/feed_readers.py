"""Ten thousand readers of the feed in one process: raw sockets and epoll, as little work for each as can be.

Reads commands from standard input, one JSON object a line, and answers each with one: `connect`, `measure`, `report`,
`reconnect`, `end`.
"""

import json
import os
import random
import re
import resource
import select
import socket
import time
from collections.abc import Callable
from typing import Any

from bench.measured import waited_seconds

OPENING_AT_ONCE = 256
IDENTITY = re.compile(rb"id: [0-9a-f-]+:(-?[0-9]+)\n")
RETRY = re.compile(rb"retry: ([0-9]+)\n")
GIVE_UP_AFTER = 60.0  # seconds


class Reader:
    """One connection: what is left of the bytes received, and what it was told so far."""

    __slots__ = ("began", "events", "last_id", "left", "retry", "socket", "token")

    def __init__(self, token: str) -> None:
        self.token = token
        self.socket: socket.socket | None = None
        self.left = b""
        self.last_id = b""
        self.retry = 0
        self.events: list[str] = []  # of the first frames only
        self.began = False


class Readers:
    """All; `arrivals` has for each offset how many readers had it, when the first and the last, and the frame."""

    def __init__(self, port: int, tokens: list[str], number: int) -> None:
        self._port = port
        self._epoll = select.epoll()
        self._readers = [Reader(tokens[n % len(tokens)]) for n in range(number)]
        self._by_socket: dict[int, Reader] = {}
        self._opening: set[Reader] = set()
        self.dropped = 0
        self.frames = 0
        self.arrivals: dict[int, list[Any]] = {}

    def connect(self, due: dict[Reader, float] | None = None) -> float:
        """Open all connections, each not before it is due; return the seconds until each has its first frame."""
        waiting = sorted(self._readers, key=lambda reader: (due or {}).get(reader, 0.0), reverse=True)
        started = time.monotonic()
        while waiting or self._opening:
            now = time.monotonic() - started
            while waiting and len(self._opening) < OPENING_AT_ONCE and (due or {}).get(waiting[-1], 0.0) <= now:
                self._open(waiting.pop())
            self._poll(0.005)
            assert now < GIVE_UP_AFTER, f"{len(waiting)} to open, {len(self._opening)} without a frame"
        return time.monotonic() - started

    def reconnect(self) -> dict[str, Any]:
        """Close all connections; each comes back after the time that the server gave it, and goes on where it was."""
        for reader in self._readers:
            if reader.socket is not None:
                self._close(reader)
            reader.events, reader.began = [], False
        seconds = self.connect({reader: reader.retry / 1000 for reader in self._readers})
        resumed = sum(reader.events[:1] == ["changes"] for reader in self._readers)
        return {"seconds": seconds, "resumed": resumed, "retries": len({reader.retry for reader in self._readers})}

    def run(self, until: Callable[[], bool]) -> None:
        """Read until it is time to do something else."""
        while not until():
            self._poll(0.05)

    def _open(self, reader: Reader) -> None:
        connection = socket.socket()
        connection.connect(("127.0.0.1", self._port))
        resumed = b"Last-Event-ID: %b\r\n" % reader.last_id if reader.last_id else b""
        head = f"GET /feed HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {reader.token}\r\n".encode()
        connection.sendall(head + resumed + b"\r\n")
        connection.setblocking(False)
        reader.socket, reader.left = connection, b""
        self._opening.add(reader)
        self._by_socket[connection.fileno()] = reader
        self._epoll.register(connection.fileno(), select.EPOLLIN)

    def _close(self, reader: Reader) -> None:
        if reader.socket is not None:
            self._epoll.unregister(reader.socket.fileno())
            del self._by_socket[reader.socket.fileno()]
            reader.socket.close()
            reader.socket = None
        self._opening.discard(reader)

    def _poll(self, seconds: float) -> None:
        for descriptor, _ in self._epoll.poll(seconds, 4096):
            reader = self._by_socket[descriptor]
            if reader.socket is None:
                continue
            received = reader.socket.recv(262144)
            if received:
                self._take(reader, received)
            else:
                self.dropped += 1
                self._close(reader)

    def _take(self, reader: Reader, received: bytes) -> None:
        data = reader.left + received
        if not reader.began:
            head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                reader.left = head
                return
            assert head.startswith(b"HTTP/1.1 200"), head[:200]
            reader.began = True
        at = 0
        while (end := data.find(b"\r\n", at)) >= 0:
            size = int(data[at:end], 16)
            if len(data) < end + 2 + size + 2:
                break
            self._frame(reader, data[end + 2 : end + 2 + size])
            at = end + 2 + size + 2
        reader.left = data[at:]

    def _frame(self, reader: Reader, frame: bytes) -> None:
        if frame.startswith(b"retry"):
            reader.retry = int(RETRY.match(frame)[1])  # type: ignore[index]  # or the server has not kept its word
            return
        found = IDENTITY.search(frame, 0, 120)
        if found:
            reader.last_id = found[0][4:-1]
        if reader in self._opening:
            self._opening.discard(reader)
            reader.events.append(frame[7 : frame.index(b"\n")].decode())
        elif frame.startswith(b"event: changes") and found:
            self.frames += 1
            arrival = self.arrivals.setdefault(int(found[1]), [0, time.monotonic(), 0.0, frame])
            arrival[0] += 1
            arrival[2] = time.monotonic()


def main() -> None:
    """Do what standard input says."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    commands = open(0, "rb", buffering=0)  # noqa: SIM115 - a line that a buffer has read ahead wakes no poll
    given = json.loads(commands.readline())
    assert min(hard, 1 << 30) > given["number"] or soft > given["number"], "too few files may be open"
    random.seed(1)
    readers = Readers(given["port"], given["tokens"], given["number"])
    incoming = select.poll()
    incoming.register(commands.fileno(), select.POLLIN)
    while True:
        readers.run(lambda: bool(incoming.poll(0)))
        command = json.loads(commands.readline())["do"]
        if command == "end":
            return
        print(json.dumps(_done(readers, command)), flush=True)


def _done(readers: Readers, command: str) -> dict[str, Any]:
    if command == "connect":
        return {"seconds": readers.connect()}
    if command == "reconnect":
        return readers.reconnect()
    arrivals = {offset: [*seen[:3], _told(seen[3])] for offset, seen in readers.arrivals.items()}
    answer = {
        "arrivals": arrivals,
        "dropped": readers.dropped,
        "frames": readers.frames,
        "processor_seconds": time.process_time(),
        "waited_seconds": waited_seconds(os.getpid()),
    }
    readers.arrivals, readers.frames = {}, 0
    return answer


def _told(frame: bytes) -> list[list[Any]]:
    """Return [unit id, version] of each unit of a frame."""
    data = json.loads(frame[frame.index(b"\ndata: ") + 7 :])
    return [[unit["unit_id"], unit["version"]] for unit in data["items"]]


if __name__ == "__main__":
    main()
