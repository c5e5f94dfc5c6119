"""An importer calls the services: tokens are renewed, busy services waited for, refusals told without a value."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.local.settings import LocalSettings
from services.cli.hmis import client
from services.cli.hmis.client import Caller, CannotImport, Credential, Refused, Stack, running_stack
from services.cli.hmis.credentials import Credentials

GOOD = Credential("importer", "a secret")
STACK = Stack({name: f"http://{name}.test" for name in ("governance", "consent")}, GOOD)
PROBLEM = {"content-type": "application/problem+json"}

Handler = Callable[[httpx.Request], httpx.Response]


class Services:
    """Services that issue numbered tokens and answer as the test wants."""

    def __init__(self, answer: Handler, token_seconds: float = 600, patience: float = 10.0) -> None:
        self.tokens = 0
        self.ahead = 0.0  # seconds by which the importer's clock is
        self.governance_away = False
        self.refusals = 0  # how many requests more are too many for governance, before it is back
        self.requests: list[httpx.Request] = []
        self._answer = answer
        self._token_seconds = token_seconds
        http = httpx.AsyncClient(transport=httpx.MockTransport(self._take))
        self.caller = Caller(STACK, GOOD, http, patience, clock=lambda: time.time() + self.ahead)

    def _take(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/oauth/token":
            if self.governance_away or self.refusals:
                self.refusals -= bool(self.refusals)
                raise httpx.ConnectError("refused", request=request)
            self.tokens += 1
            return httpx.Response(200, json={"access_token": str(self.tokens), "expires_in": self._token_seconds})
        self.requests.append(request)
        return self._answer(request)


def made(_: httpx.Request) -> httpx.Response:
    return httpx.Response(201, json={"client_id": "c"})


def problem(status: int, name: str, **more: Any) -> httpx.Response:
    return httpx.Response(status, json={"type": f"/problems/{name}", **more}, headers=PROBLEM | {"Retry-After": "0"})


async def test_many_at_once_share_one_token() -> None:
    services = Services(made)
    await asyncio.gather(*(services.caller.post("consent", "/clients", {}) for _ in range(5)))
    assert services.tokens == 1
    assert {request.headers["Authorization"] for request in services.requests} == {"Bearer 1"}


async def test_a_token_is_renewed_before_it_ends() -> None:
    services = Services(made, token_seconds=client.RENEWED_BEFORE)
    await services.caller.post("consent", "/clients", {})
    await services.caller.post("consent", "/clients", {})
    assert [request.headers["Authorization"] for request in services.requests] == ["Bearer 1", "Bearer 2"]


async def test_while_governance_is_away_a_token_is_good_until_its_end() -> None:
    services = Services(made, patience=0.1)
    await services.caller.post("consent", "/clients", {})
    services.governance_away = True
    services.ahead = 600 - client.RENEWED_BEFORE + 1
    await services.caller.post("consent", "/clients", {})
    services.ahead = 601
    with pytest.raises(CannotImport, match=r"The governance service does not answer.*Run this again once it is"):
        await services.caller.post("consent", "/clients", {})
    services.governance_away = False
    await services.caller.post("consent", "/clients", {})
    assert [request.headers["Authorization"] for request in services.requests] == ["Bearer 1", "Bearer 1", "Bearer 2"]


async def test_governance_is_waited_for_in_a_tokens_last_seconds_too() -> None:
    services = Services(made, patience=3.0)
    await services.caller.post("consent", "/clients", {})
    services.refusals = 2
    services.ahead = 598
    await services.caller.post("consent", "/clients", {})
    assert [request.headers["Authorization"] for request in services.requests] == ["Bearer 1", "Bearer 2"]


async def test_a_token_that_ended_unnoticed_is_renewed_once() -> None:
    services = Services(lambda request: made(request) if request.headers["Authorization"] == "Bearer 2" else expired())
    assert (await services.caller.post("consent", "/clients", {})).body == {"client_id": "c"}
    never = Services(lambda _: expired())
    with pytest.raises(Refused, match="unauthenticated"):
        await never.caller.post("consent", "/clients", {})
    assert never.tokens == 2


def expired() -> httpx.Response:
    return problem(401, "unauthenticated")


async def test_what_a_busy_service_did_not_take_is_sent_again_under_its_key() -> None:
    answers = iter([problem(503, "dependency-down"), None, httpx.Response(201, json={})])

    def answer(request: httpx.Request) -> httpx.Response:
        following = next(answers)
        if following is None:
            raise httpx.ConnectError("refused", request=request)
        return following

    services = Services(answer)
    taken = await services.caller.post("consent", "/clients", {"identifiers": []}, "a-key")
    assert not taken.repeated
    assert [request.headers["Idempotency-Key"] for request in services.requests] == ["a-key"] * 3


@pytest.mark.parametrize("answer", [problem(503, "database-down"), None])
async def test_patience_ends_in_one_sentence(answer: httpx.Response | None) -> None:
    def busy(request: httpx.Request) -> httpx.Response:
        if answer is None:
            raise httpx.ConnectError("refused", request=request)
        return answer

    began = time.monotonic()
    with pytest.raises(CannotImport, match=r"The consent service .*: is `threshold up` still running"):
        await Services(busy, patience=0.2).caller.post("consent", "/clients", {})
    assert time.monotonic() - began >= 0.2


async def test_a_refusal_names_the_field_and_never_what_was_sent() -> None:
    refusal = problem(422, "invalid-body", detail="is too long", errors=[{"field": "identifiers.0.value"}])
    with pytest.raises(Refused) as caught:
        await Services(lambda _: refusal).caller.post("consent", "/clients", {"identifiers": ["Rosa"]})
    assert str(caught.value) == "invalid-body: is too long (identifiers.0.value)"
    with pytest.raises(Refused, match="HTTP status 502"):
        await Services(lambda _: httpx.Response(502, text="Rosa")).caller.get("consent", "/consents")


async def test_a_list_is_read_to_its_end() -> None:
    pages = {None: {"items": [{"id": 1}], "next": "n"}, "n": {"items": [{"id": 2}], "next": None}}
    services = Services(lambda request: httpx.Response(200, json=pages[request.url.params.get("after")]))
    assert [item["id"] async for item in services.caller.every("consent", "/consents")] == [1, 2]


async def test_a_repetition_is_known_as_one() -> None:
    services = Services(lambda _: httpx.Response(201, json={}, headers={"Idempotency-Replayed": "true"}))
    assert (await services.caller.post("consent", "/clients", {}, "key")).repeated


@pytest.mark.parametrize("content", ["{", "{}", '{"services": {}, "admin": {}}', "[]"])
def test_a_damaged_description_of_the_stack_is_one_sentence(tmp_path: Path, content: str) -> None:
    settings = LocalSettings(tmp_path, 7000, tmp_path)
    with pytest.raises(CannotImport, match="Nothing runs in"):
        running_stack(settings)
    settings.stack_file.write_text(content)
    with pytest.raises(CannotImport, match=r"stack\.json cannot be read or is damaged"):
        running_stack(settings)


def test_credentials_are_kept_for_their_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "imports" / "source.json"
    credentials = Credentials(file)
    assert credentials.of("shelter") is None
    credentials.keep("shelter", GOOD)
    assert file.stat().st_mode & 0o777 == 0o600
    assert Credentials(file).of("shelter") == GOOD


def test_a_credential_that_was_made_for_less_is_not_given(tmp_path: Path) -> None:
    file = tmp_path / "imports" / "source.json"
    Credentials(file, ["clients:write", "beds:write"]).keep("shelter", GOOD)
    assert Credentials(file, ["beds:write"]).of("shelter") == GOOD
    assert Credentials(file, ["beds:write", "beds:read"]).of("shelter") is None


@pytest.mark.parametrize("content", ["{", "[]", '{"shelter": {}}', '{"shelter": "secret"}'])
def test_a_damaged_file_of_credentials_is_as_good_as_lost(tmp_path: Path, content: str) -> None:
    file = tmp_path / "source.json"
    file.write_text(content)
    assert Credentials(file).of("shelter") is None


def test_credentials_that_cannot_be_kept_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "imports").write_text(json.dumps("a file where the folder should be"))
    with pytest.raises(CannotImport, match="cannot be written"):
        Credentials(tmp_path / "imports" / "source.json").keep("shelter", GOOD)
