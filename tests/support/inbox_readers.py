"""Programs that read one inbox from its beginning, again and again, and know from the system when each page began."""

import http.client
import io
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.support.providers import Provider
from tests.support.slow_receiver import Arriving, ask_for_moments

READERS = 4
NAME = b"Canary-"  # how the name begins that providers.SAID puts into boxes


@dataclass(frozen=True)
class Read:
    """One answer: when it was asked for and when its first byte came, in seconds since 1970."""

    asked: float
    began: float
    status: int
    raw: bytes

    @property
    def is_identifying(self) -> bool:
        """Whether it shows a client id, or a name from a box."""
        return b'"client_id"' in self.raw or NAME in self.raw


@contextmanager
def reading(provider: Provider) -> Iterator[list[Read]]:
    """Read until the block ends; what is given fills meanwhile."""
    pages: list[Read] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            pages.append(_read(provider))

    with ThreadPoolExecutor(READERS) as threads:
        readers = [threads.submit(read) for _ in range(READERS)]
        try:
            yield pages
        finally:
            done.set()
    for reader in readers:
        reader.result()


def _read(provider: Provider) -> Read:
    url = urlsplit(provider.services["webhooks"])
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=30)
    connection.connect()
    ask_for_moments(connection.sock)
    connection.response_class = _Timed
    try:
        asked = time.time()
        connection.request("GET", "/inbox?limit=50", headers=dict(provider.http.headers))
        answer = connection.getresponse()
        assert isinstance(answer, _Timed)
        return Read(asked, answer.began, answer.status, answer.read())
    finally:
        connection.close()


class _Timed(http.client.HTTPResponse):
    def __init__(self, connection: Any, *about: Any, **more: Any) -> None:
        super().__init__(connection, *about, **more)
        self._arriving = Arriving(connection)
        self.fp = io.BufferedReader(self._arriving)

    @property
    def began(self) -> float:
        assert self._arriving.began is not None
        return self._arriving.began
