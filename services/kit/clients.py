"""Calls from one service to another: signed for exactly one request, bounded in time, with one kind of failure."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import urlencode

import aiohttp
import httpx
import msgspec
from yarl import URL

from services.kit.assertions import sign_assertion
from services.kit.problems import Problem
from services.kit.settings import ServiceSettings

TIMEOUT: Final = aiohttp.ClientTimeout(total=5.0, sock_connect=1.0)
RETRY_AFTER_SECONDS: Final = 2
KEEP_ALIVE_SECONDS: Final = 2.0
"""Shorter than the services' own (5 s): a connection they have just closed would cost a call."""


class DependencyDown(Problem):
    """A service that is needed does not answer, or answers that it cannot: 503 for whoever asked us."""

    def __init__(self, dependency: str) -> None:
        detail = (
            f"The {dependency} service does not answer; nothing was changed. Send the request again after the seconds "
            "in Retry-After, with the same Idempotency-Key if it had one."
        )
        super().__init__("dependency-down", detail, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


class UnexpectedAnswerError(Exception):
    """Another service does not take what we said: one of the two is wrong."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What another service answered."""

    status_code: int
    content: bytes

    @property
    def is_success(self) -> bool:
        """Whether it did what was asked."""
        return 200 <= self.status_code < 300

    def require_success(self) -> None:
        """Raise UnexpectedAnswerError for any answer that is no success."""
        if not self.is_success:
            raise UnexpectedAnswerError(f"answered {self.status_code}")

    @property
    def text(self) -> str:
        """The body as text."""
        return self.content.decode()

    def json(self) -> Any:  # noqa: ANN401 - whatever it says
        """Return the body as JSON."""
        return msgspec.json.decode(self.content)


class Transport(Protocol):
    """How a service is reached, if not over the network: an httpx transport."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request."""


class _Network:
    """aiohttp, which takes a fifth of httpx's time for a call. Its session needs a running loop, so it begins late."""

    def __init__(self, timeout: aiohttp.ClientTimeout) -> None:
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None

    async def send(self, method: str, url: URL, headers: Mapping[str, str], body: bytes) -> Answer:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(keepalive_timeout=KEEP_ALIVE_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=self._timeout,
                trust_env=False,
            )
        async with self._session.request(
            method, url, headers=headers, data=body or None, allow_redirects=False
        ) as answer:
            return Answer(answer.status, await answer.read())

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


Send = Callable[[str, URL, Mapping[str, str], bytes], Awaitable[Answer]]


def _over(transport: Transport) -> Send:
    async def send(method: str, url: URL, headers: Mapping[str, str], body: bytes) -> Answer:
        request = httpx.Request(method, str(url), headers=headers, content=body)
        answer = await transport.handle_async_request(request)
        return Answer(answer.status_code, await answer.aread())

    return send


class ServiceClient:
    """Sends requests of `settings.service` to the service `target`."""

    def __init__(
        self,
        settings: ServiceSettings,
        target: str,
        *,
        timeout: aiohttp.ClientTimeout = TIMEOUT,
        clock: Callable[[], float] = time.time,
        transport: Transport | None = None,
    ) -> None:
        self._target = target
        self._service = settings.service
        self._key = settings.assertion_key
        self._base_url = settings.services.get(target, "")  # a service without an address is as good as down
        self._clock = clock
        self._network = _Network(timeout)
        self._send = _over(transport) if transport else self._network.send

    async def get(self, path: str, parameters: Mapping[str, str] | None = None) -> Answer:
        """Send a GET; see `request`."""
        return await self.request("GET", path, parameters=parameters)

    async def post(self, path: str, body: object) -> Answer:
        """Send a POST with a JSON body; see `request`."""
        return await self.request("POST", path, body=body)

    async def request(
        self, method: str, path: str, *, parameters: Mapping[str, str] | None = None, body: object = None
    ) -> Answer:
        """Return the answer if it is a success or the caller's mistake (2xx, 4xx).

        DependencyDown when the service cannot be reached in time, answers 5xx or 429, or does not accept our
        assertion: then it is ours that cannot work, and the caller has nothing to correct.
        """
        query = f"?{urlencode(parameters)}" if parameters else ""
        url = URL(f"{self._base_url}{path}{query}", encoded=True)  # to be sent exactly as it is signed
        content = b"" if body is None else msgspec.json.encode(body)
        try:
            answer = await self._send(method, url, self._headers(method, url.raw_path_qs, content), content)
        except (aiohttp.ClientError, httpx.TransportError, TimeoutError) as error:
            raise DependencyDown(self._target) from error
        if answer.status_code >= 500 or answer.status_code in {401, 403, 429}:
            raise DependencyDown(self._target)
        return answer

    def _headers(self, method: str, target: str, body: bytes) -> dict[str, str]:
        assertion = sign_assertion(
            self._key,
            issuer=self._service,
            audience=self._target,
            method=method,
            target=target,
            body=body,
            now=self._clock(),
        )
        return {"Authorization": f"Bearer {assertion}", **({"Content-Type": "application/json"} if body else {})}

    async def close(self) -> None:
        """Close the connections."""
        await self._network.close()


class DelegatedClient:
    """Sends requests to the service `target` for whoever has an access token, and asks for such tokens.

    For a token it says which service asks: those who try secrets are told apart by it, not by governance, which would
    know all of them by the service's own address.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        target: str,
        *,
        timeout: aiohttp.ClientTimeout = TIMEOUT,
        clock: Callable[[], float] = time.time,
        transport: Transport | None = None,
    ) -> None:
        self._target = target
        self._service = settings.service
        self._key = settings.assertion_key
        self._base_url = settings.services.get(target, "")
        self._clock = clock
        self._network = _Network(timeout)
        self._send = _over(transport) if transport else self._network.send

    async def form(self, path: str, fields: Mapping[str, str]) -> Answer:
        """Send a POST with a form, signed as this service's own; see `request`."""
        content = urlencode(fields).encode()
        assertion = sign_assertion(
            self._key,
            issuer=self._service,
            audience=self._target,
            method="POST",
            target=path,
            body=content,
            now=self._clock(),
        )
        headers = {"Authorization": f"Bearer {assertion}", "Content-Type": "application/x-www-form-urlencoded"}
        return await self._answered("POST", path, headers, content)

    async def request(
        self, method: str, path: str, token: str, *, body: object = None, key: str | None = None
    ) -> Answer:
        """Return the answer, be it a success or the caller's mistake; `key` is the Idempotency-Key.

        DependencyDown when the service can't be reached in time, or answers 5xx or 429.
        """
        headers = {"Authorization": f"Bearer {token}", **({"Idempotency-Key": key} if key else {})}
        if body is None:
            return await self._answered(method, path, headers, b"")
        return await self._answered(
            method, path, headers | {"Content-Type": "application/json"}, msgspec.json.encode(body)
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._network.close()

    async def _answered(self, method: str, path: str, headers: Mapping[str, str], content: bytes) -> Answer:
        try:
            answer = await self._send(method, URL(f"{self._base_url}{path}", encoded=True), headers, content)
        except (aiohttp.ClientError, httpx.TransportError, TimeoutError) as error:
            raise DependencyDown(self._target) from error
        if answer.status_code >= 500 or answer.status_code == 429:
            raise DependencyDown(self._target)
        return answer


@asynccontextmanager
async def opened(settings: ServiceSettings, target: str) -> AsyncIterator[ServiceClient]:
    """Give a client that is closed at the end of the block."""
    client = ServiceClient(settings, target)
    try:
        yield client
    finally:
        await client.close()
