"""Calls from one service to another: signed for exactly one request, bounded in time, with one kind of failure."""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
import httpx
import msgspec
from httpx_aiohttp import AiohttpTransport

from services.kit.assertions import sign_assertion
from services.kit.problems import Problem
from services.kit.settings import ServiceSettings

TIMEOUT: Final = httpx.Timeout(5.0, connect=1.0)
RETRY_AFTER_SECONDS: Final = 2


class DependencyDown(Problem):
    """A service that is needed does not answer, or answers that it cannot: 503 for whoever asked us."""

    def __init__(self, dependency: str) -> None:
        detail = (
            f"The {dependency} service does not answer; nothing was changed. Send the request again after the seconds "
            "in Retry-After, with the same Idempotency-Key if it had one."
        )
        super().__init__("dependency-down", detail, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


class ServiceClient:
    """Sends requests of `settings.service` to the service `target`."""

    def __init__(
        self,
        settings: ServiceSettings,
        target: str,
        *,
        timeout: httpx.Timeout = TIMEOUT,
        clock: Callable[[], float] = time.time,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._target = target
        self._service = settings.service
        self._key = settings.assertion_key
        self._base_url = settings.services.get(target, "")  # a service without an address is as good as down
        self._extensions = {"timeout": timeout.as_dict()}
        self._clock = clock
        # Over aiohttp, and without httpx's client, which looks for redirects, cookies and more: half of a call.
        self._transport = transport or AiohttpTransport(trust_env=False)

    async def get(self, path: str, parameters: Mapping[str, str] | None = None) -> httpx.Response:
        """Send a GET; see `request`."""
        return await self.request("GET", path, parameters=parameters)

    async def post(self, path: str, body: object) -> httpx.Response:
        """Send a POST with a JSON body; see `request`."""
        return await self.request("POST", path, body=body)

    async def request(
        self, method: str, path: str, *, parameters: Mapping[str, str] | None = None, body: object = None
    ) -> httpx.Response:
        """Return the answer if it is a success or the caller's mistake (2xx, 4xx).

        DependencyDown when the service cannot be reached in time, answers 5xx or 429, or does not accept our
        assertion: then it is ours that cannot work, and the caller has nothing to correct.
        """
        request = self._signed(method, path, parameters, b"" if body is None else msgspec.json.encode(body))
        try:
            answer = await self._transport.handle_async_request(request)
            await answer.aread()
        except (httpx.TransportError, httpx.InvalidURL, aiohttp.ClientError) as error:
            raise DependencyDown(self._target) from error
        if answer.status_code >= 500 or answer.status_code in {401, 403, 429}:
            raise DependencyDown(self._target)
        answer.request = request
        return answer

    def _signed(self, method: str, path: str, parameters: Mapping[str, str] | None, body: bytes) -> httpx.Request:
        url = httpx.URL(f"{self._base_url}{path}", params=parameters)
        assertion = sign_assertion(
            self._key,
            issuer=self._service,
            audience=self._target,
            method=method,
            target=url.raw_path.decode("ascii"),
            body=body,
            now=self._clock(),
        )
        headers = {"Authorization": f"Bearer {assertion}", **({"Content-Type": "application/json"} if body else {})}
        return httpx.Request(method, url, headers=headers, content=body, extensions=self._extensions)

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.aclose()


@asynccontextmanager
async def opened(settings: ServiceSettings, target: str) -> AsyncIterator[ServiceClient]:
    """Give a client that is closed at the end of the block."""
    client = ServiceClient(settings, target)
    try:
        yield client
    finally:
        await client.close()


def problem_of(answer: httpx.Response) -> dict[str, Any]:
    """Return the problem document of an answer, empty if it is none."""
    if not answer.headers.get("content-type", "").startswith("application/problem+json"):
        return {}
    document: dict[str, Any] = answer.json()
    return document
