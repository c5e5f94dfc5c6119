"""Who may call a route: whoever has a token with the scope, or is the service that it is for."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI

from services.kit.auth import (
    ACCESS_TOKEN_SECONDS,
    ENDED,
    Principal,
    Public,
    Scope,
    Scoped,
    ServiceOnly,
    access_of,
    issue_access_token,
    public,
    requires,
    routes_of,
    service_only,
)
from services.kit.clients import DependencyDown, ServiceClient
from services.kit.service import create_service
from tests.support.callers import NOW, Community, bearer, calling

COMMUNITY = Community()
KEY = COMMUNITY.private_keys["governance"]
PRINCIPAL = Principal("a-client", "harbor", frozenset({Scope.REFERRALS_READ, Scope.INBOX_READ}))

router = APIRouter()


@router.get("/referrals/{referral_id}")
async def read_referral(
    referral_id: str, caller: Annotated[Principal, requires(Scope.REFERRALS_READ, Scope.ADMIN)]
) -> dict[str, str | None]:
    return {"id": referral_id, "organization": caller.organization}


@router.get("/anything")
async def read_anything(caller: Annotated[Principal, requires()]) -> str:
    return caller.client_id


@router.post("/releases")
async def release(caller: Annotated[str, service_only("webhooks")], body: dict[str, str]) -> dict[str, str]:
    return {"caller": caller, **body}


@router.get("/open", dependencies=[public()])
async def read_open() -> str:
    return "open"


@pytest.fixture
def app() -> FastAPI:
    return create_service(COMMUNITY.settings("consent"), routers=[router], clock=COMMUNITY.clock)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with calling(app, "consent") as http:
        yield http


async def test_a_route_gets_its_caller(client: httpx.AsyncClient) -> None:
    token = COMMUNITY.token("harbor", [Scope.REFERRALS_READ])
    answer = await client.get("/referrals/r1", headers=bearer(token))
    assert answer.json() == {"id": "r1", "organization": "harbor"}


async def test_without_a_token_the_answer_is_a_challenge(client: httpx.AsyncClient) -> None:
    answer = await client.get("/referrals/r1")
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == 'Bearer realm="threshold"'
    assert answer.json()["type"] == "/problems/unauthenticated"


@pytest.mark.parametrize("authorization", ["Bearer nonsense", "Bearer ", "Basic YTpi", "Bearer a b", "nonsense"])
async def test_what_is_no_token_is_refused(client: httpx.AsyncClient, authorization: str) -> None:
    answer = await client.get("/anything", headers={"Authorization": authorization})
    assert answer.status_code == 401


async def test_whose_token_has_ended_is_told_to_get_a_new_one(client: httpx.AsyncClient) -> None:
    ended = issue_access_token(PRINCIPAL, KEY, NOW - ACCESS_TOKEN_SECONDS)
    plain = "A valid access token is needed."
    for token, detail in ((ended, ENDED), (f"{ended[:-4]}AAAA", plain)):
        answer = await client.get("/anything", headers=bearer(token))
        assert (answer.status_code, answer.json()["detail"]) == (401, detail)
        assert answer.headers["www-authenticate"] == 'Bearer realm="threshold", error="invalid_token"'


async def test_a_token_without_the_scope_is_told_which(client: httpx.AsyncClient) -> None:
    answer = await client.get("/referrals/r1", headers=bearer(COMMUNITY.token("harbor", [Scope.INBOX_READ])))
    assert answer.status_code == 403
    assert 'error="insufficient_scope", scope="admin referrals:read"' in answer.headers["www-authenticate"]
    assert answer.json()["type"] == "/problems/insufficient-scope"


async def test_any_token_will_do_where_no_scope_is_named(client: httpx.AsyncClient) -> None:
    assert (await client.get("/anything", headers=bearer(COMMUNITY.token("harbor", [])))).json() == "a-client"


async def service_client(app: FastAPI, service: str) -> ServiceClient:
    transport = httpx.ASGITransport(app=app)
    return ServiceClient(COMMUNITY.settings(service), "consent", clock=COMMUNITY.clock, transport=transport)


async def test_one_service_calls_another(app: FastAPI, client: httpx.AsyncClient) -> None:
    del client  # it keeps the application running
    webhooks = await service_client(app, "webhooks")
    answer = await webhooks.request("POST", "/releases", parameters={"a b": "é/?&"}, body={"decision": "1"})
    assert answer.json() == {"caller": "webhooks", "decision": "1"}


async def test_another_service_or_a_client_is_not_let_in(app: FastAPI, client: httpx.AsyncClient) -> None:
    audit = await service_client(app, "audit")
    with pytest.raises(DependencyDown):
        await audit.post("/releases", {})
    token = COMMUNITY.token(None, [Scope.ADMIN])
    assert (await client.post("/releases", json={}, headers=bearer(token))).status_code == 401


async def test_a_service_that_cannot_be_reached_is_told_so_the_caller_can_come_again() -> None:
    async def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no", request=request)

    client = ServiceClient(COMMUNITY.settings("webhooks"), "consent", transport=httpx.MockTransport(refuse))
    with pytest.raises(DependencyDown) as caught:
        await client.get("/anything")
    assert caught.value.response().status_code == 503
    assert caught.value.response().headers["retry-after"] == "2"
    assert "consent" in caught.value.detail


def test_the_table_of_access_can_be_read_from_the_routes(app: FastAPI) -> None:
    table = {route.path: access_of(route) for route in routes_of(app)}
    assert table == {
        "/referrals/{referral_id}": Scoped(frozenset({Scope.REFERRALS_READ, Scope.ADMIN})),
        "/anything": Scoped(frozenset()),
        "/releases": ServiceOnly(frozenset({"webhooks"})),
        **{path: Public() for path in ("/open", "/healthz", "/readyz", "/metrics", "/problems/{name}")},
    }


@pytest.mark.parametrize("declarations", [[], [public(), requires(Scope.ADMIN)]])
def test_a_route_that_declares_nothing_or_two_things_is_found(declarations: list[Any]) -> None:
    undeclared = APIRouter()
    undeclared.add_api_route("/forgotten", lambda: None, dependencies=declarations)
    app = create_service(COMMUNITY.settings("consent"), routers=[undeclared])
    with pytest.raises(LookupError, match="/forgotten"):
        [access_of(route) for route in routes_of(app)]
