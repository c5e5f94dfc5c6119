"""A case-management system's side of the APIs: one credential, its token, plain HTTP."""

from http import HTTPStatus
from typing import Any

import httpx

from services.cli.demo.telling import NotAsTold

PATIENCE = 40.0  # seconds: longer than any wait asked for


class Api:
    """The services of one stack, by name."""

    def __init__(self, services: dict[str, str], http: httpx.AsyncClient) -> None:
        self.services = services
        self.http = http

    async def request(self, method: str, service: str, path: str, **more: Any) -> httpx.Response:  # noqa: ANN401
        """Send a request and return the answer, whatever it is; NotAsTold if none comes."""
        try:
            return await self.http.request(method, f"{self.services[service]}{path}", **more)
        except httpx.TransportError as error:
            raise NotAsTold(f"{service} gave no answer to {method} {path}: {type(error).__name__}") from None

    async def sign_in(self, name: str, credential: dict[str, Any]) -> "Caller":
        """Exchange a credential (client_id, client_secret) for a token and return who may now call."""
        form = {"grant_type": "client_credentials"} | {key: credential[key] for key in ("client_id", "client_secret")}
        answer = await self.request("POST", "governance", "/oauth/token", data=form)
        _require(answer, name, HTTPStatus.OK)
        return Caller(self, name, answer.json()["access_token"])


class Caller:
    """One API client; `name` is its organization's id, `headers` are what it proves itself with."""

    def __init__(self, api: Api, name: str, token: str) -> None:
        self.name = name
        self.services = api.services
        self.headers = {"Authorization": f"Bearer {token}"}
        self._api = api

    async def post(
        self, service: str, path: str, body: object = None, *, status: int = HTTPStatus.CREATED, wait: int = 0
    ) -> dict[str, Any]:
        """Post and return the answer's body; NotAsTold unless it has this status. `wait` in seconds (RFC 7240)."""
        answer = await self.posted(service, path, body, wait=wait)
        _require(answer, self.name, status)
        parsed: dict[str, Any] = answer.json()
        return parsed

    async def posted(self, service: str, path: str, body: object = None, *, wait: int = 0) -> httpx.Response:
        """Post and return the answer, whatever it is."""
        headers = self.headers | ({"Prefer": f"wait={wait}"} if wait else {})
        return await self._api.request("POST", service, path, json=body, headers=headers)

    async def get(self, service: str, path: str, **parameters: str | int) -> dict[str, Any]:
        """Get and return the answer's body; NotAsTold unless it is 200."""
        answer = await self._api.request("GET", service, path, params=parameters, headers=self.headers)
        _require(answer, self.name, HTTPStatus.OK)
        parsed: dict[str, Any] = answer.json()
        return parsed


def problem(answer: httpx.Response) -> str:
    """Write an error answer (RFC 9457) in one line: status, type, the fields it names."""
    try:
        document = answer.json()
        fields = ", ".join(error["field"] for error in document.get("errors", []))
        name = document["type"].removeprefix("/problems/")
    except (ValueError, KeyError, AttributeError):
        return str(answer.status_code)
    return f"{answer.status_code} {name}" + (f" ({fields})" if fields else "")


def _require(answer: httpx.Response, name: str, status: int) -> None:
    if answer.status_code != status:
        got = problem(answer)
        raise NotAsTold(f"{name}: {answer.request.method} {answer.url.path}: expected {int(status)}, got {got}")
