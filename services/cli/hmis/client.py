"""An importer's side of the services' APIs: tokens that renew themselves, patience with a service that is busy."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import httpx

from deploy.local.settings import LocalSettings

PATIENCE: Final = 30.0  # seconds for which a request is sent again while its service is busy or being restarted
LONGEST_PAUSE: Final = 5.0  # seconds
RENEWED_BEFORE: Final = 60.0  # seconds before a token's end
TIMEOUT: Final = httpx.Timeout(20.0, connect=2.0)
LARGEST_PAGE: Final = 200
KEPT_OPEN: Final = 2.0  # seconds a connection may idle; the services close theirs after five


class CannotImport(Exception):
    """Why an import cannot go on, as one sentence; the command line prints it and exits 1."""


class Refused(Exception):
    """A service's refusal (RFC 9457); the text has its type, its reason and the fields it names, never a value."""

    def __init__(self, answer: httpx.Response) -> None:
        document = _problem(answer)
        self.status = answer.status_code
        self.problem = str(document.get("type", "")).removeprefix("/problems/") or f"HTTP status {self.status}"
        fields = ", ".join(str(each["field"]) for each in document.get("errors", []))
        detail = str(document.get("detail", "")) + (f" ({fields})" if fields else "")
        super().__init__(f"{self.problem}: {detail}" if detail else self.problem)


@dataclass(frozen=True)
class Credential:
    """An API client's id and secret."""

    client_id: str
    client_secret: str


@dataclass(frozen=True)
class Stack:
    """Where a running stack's services are, and its administrator's credential."""

    services: Mapping[str, str]
    admin: Credential


@dataclass(frozen=True)
class Answer:
    """What a service made; `repeated` if the same request had made it before."""

    body: dict[str, Any]
    repeated: bool


def running_stack(settings: LocalSettings) -> Stack:
    """Read where the stack of these settings runs; CannotImport if it does not."""
    try:
        described = json.loads(settings.stack_file.read_text())
        return Stack(described["services"], Credential(**described["admin"]))
    except FileNotFoundError:
        raise CannotImport(
            f"Nothing runs in {settings.home}: start `threshold up` there, or set THRESHOLD_HOME to where it runs."
        ) from None
    except (OSError, ValueError, KeyError, TypeError):
        raise CannotImport(f"{settings.stack_file} cannot be read or is damaged: start `threshold up` again.") from None


class Caller:
    """One API client of a stack; `patience` is in seconds, `clock` gives Unix time."""

    def __init__(
        self,
        stack: Stack,
        credential: Credential,
        http: httpx.AsyncClient,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._services = stack.services
        self._credential = credential
        self._http = http
        self._patience = patience
        self._clock = clock
        self._token = ""
        self._renew_at = self._ends_at = 0.0
        self._renewing = asyncio.Lock()

    async def sign_in(self, patience: float | None = None) -> None:
        """Get a token; Refused (invalid-client) if the credential is not or no longer good."""
        form = {
            "grant_type": "client_credentials",
            "client_id": self._credential.client_id,
            "client_secret": self._credential.client_secret,
        }
        request = self._http.build_request("POST", self._url("governance", "/oauth/token"), data=form)
        granted = _accepted(await self._sent("governance", request, patience)).json()
        self._token, self._ends_at = granted["access_token"], self._clock() + granted["expires_in"]
        self._renew_at = self._ends_at - RENEWED_BEFORE

    async def post(self, service: str, path: str, body: object, key: str | None = None, wait: int = 0) -> Answer:
        """Post a body, under an Idempotency-Key if one is given; Refused. `wait` in seconds (RFC 7240)."""
        headers = {} if key is None else {"Idempotency-Key": key}
        headers |= {"Prefer": f"wait={wait}"} if wait else {}
        answer = await self._authorized(
            service, self._http.build_request("POST", self._url(service, path), json=body, headers=headers)
        )
        return Answer(_accepted(answer).json(), repeated="Idempotency-Replayed" in answer.headers)

    async def send(self, method: str, service: str, path: str, body: object) -> dict[str, Any]:
        """Put or patch, whose repetition changes nothing more; Refused."""
        request = self._http.build_request(method, self._url(service, path), json=body)
        done: dict[str, Any] = _accepted(await self._authorized(service, request)).json()
        return done

    async def get(self, service: str, path: str, **parameters: str | int) -> dict[str, Any]:
        """Get what there is at a path; Refused."""
        request = self._http.build_request("GET", self._url(service, path), params=parameters)
        found: dict[str, Any] = _accepted(await self._authorized(service, request)).json()
        return found

    async def every(self, service: str, path: str) -> AsyncIterator[dict[str, Any]]:
        """Yield the items of a list, page after page; Refused."""
        page = await self.get(service, path, limit=LARGEST_PAGE)
        while True:
            for item in page["items"]:
                yield item
            if page["next"] is None:
                return
            page = await self.get(service, path, limit=LARGEST_PAGE, after=page["next"])

    async def _authorized(self, service: str, request: httpx.Request) -> httpx.Response:
        answer = await self._with_token(service, request)
        if answer.status_code == HTTPStatus.UNAUTHORIZED:  # the machine slept: the clock of the token did not
            self._renew_at = self._ends_at = 0.0
            answer = await self._with_token(service, request)
        return answer

    async def _with_token(self, service: str, request: httpx.Request) -> httpx.Response:
        async with self._renewing:
            await self._renewed()
        request.headers["Authorization"] = f"Bearer {self._token}"
        return await self._sent(service, request)

    async def _renewed(self) -> None:
        """Renew the token in its last minute; while governance is away it is good until its end."""
        now = self._clock()
        if now < self._renew_at:
            return
        try:
            await self.sign_in(patience=0 if now < self._ends_at else None)
        except CannotImport:
            again = self._clock() + LONGEST_PAUSE
            if again < self._ends_at:
                self._renew_at = again
            else:  # it might end on its way
                await self.sign_in()

    async def _sent(self, service: str, request: httpx.Request, patience: float | None = None) -> httpx.Response:
        """Send a request, again while the service is busy or away; every request here may be sent twice."""
        deadline = time.monotonic() + (self._patience if patience is None else patience)
        while True:
            try:
                answer = await self._http.send(request)
                pause = float(answer.headers.get("Retry-After", 1))
            except httpx.TransportError:
                answer, pause = None, 1.0
            if answer is not None and answer.status_code != HTTPStatus.SERVICE_UNAVAILABLE:
                return answer
            left = deadline - time.monotonic()
            if left <= 0:
                state = "does not answer" if answer is None else f"cannot do it now ({Refused(answer).problem})"
                sentence = f"The {service} service {state}: is `threshold up` still running? Run this again once it is."
                raise CannotImport(sentence)
            await asyncio.sleep(min(pause, LONGEST_PAUSE, left))

    def _url(self, service: str, path: str) -> str:
        if service not in self._services:
            raise CannotImport(f"The stack has no {service} service.")
        return self._services[service] + path


@asynccontextmanager
async def connections(at_once: int) -> AsyncIterator[httpx.AsyncClient]:
    """Give the HTTP client that callers share; closed at the end of the block."""
    limits = httpx.Limits(max_connections=at_once, keepalive_expiry=KEPT_OPEN)
    async with httpx.AsyncClient(timeout=TIMEOUT, limits=limits, trust_env=False) as http:
        yield http


def _accepted(answer: httpx.Response) -> httpx.Response:
    if not answer.is_success:
        raise Refused(answer)
    return answer


def _problem(answer: httpx.Response) -> dict[str, Any]:
    if not answer.headers.get("content-type", "").startswith("application/problem+json"):
        return {}
    document: dict[str, Any] = answer.json()
    return document
