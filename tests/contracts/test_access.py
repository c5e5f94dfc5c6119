"""Who may call which route: the apps' own route lists held against one table, and every refusal tried."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml
from fastapi import FastAPI

from services.kit.assertions import sign_assertion
from services.kit.auth import (
    Access,
    Principal,
    Public,
    Scope,
    Scoped,
    ServiceOnly,
    SignedIn,
    access_of,
    issue_access_token,
    routes_of,
)
from services.kit.keys import decode_private
from services.shelter_beds.board.session import Seal, Session
from tests.support.apps import NAMES, SECRETS, composed

TABLE = yaml.safe_load(Path(__file__).with_name("access.yaml").read_text())
SOMEWHERE = "0" * 32  # stands for every id in a path


@dataclass(frozen=True)
class Route:
    """One row of the table."""

    service: str
    method: str
    path: str
    access: str

    @property
    def target(self) -> str:
        return "/".join(SOMEWHERE if part.startswith("{") else part for part in self.path.split("/"))

    def __str__(self) -> str:
        return f"{self.service} {self.method} {self.path}"


ROUTES = [
    Route(service, row["route"].split(" ")[0], row["route"].split(" ")[1], row["access"])
    for service, rows in TABLE.items()
    for row in rows
]
PAGES = [route for route in ROUTES if route.access.startswith("page:")]
SCOPED = [route for route in ROUTES if route.access != "public" and not route.access.startswith(("service:", "page:"))]
SERVICES_ONLY = [route for route in ROUTES if route.access.startswith("service:")]


@pytest.fixture(scope="module")
def apps() -> Iterator[dict[str, FastAPI]]:
    with composed() as made:
        yield made


def test_every_route_has_its_row_and_every_row_its_route(apps: dict[str, FastAPI]) -> None:
    served = {
        Route(name, method, route.path or "", _written(access_of(route)))
        for name, app in apps.items()
        for route in routes_of(app)
        for method in route.methods or ()
    }
    assert served == set(ROUTES)


def test_a_route_that_nobody_declared_is_found() -> None:
    planted = FastAPI()
    planted.get("/forgotten")(lambda: None)
    with pytest.raises(LookupError, match="/forgotten"):
        [access_of(route) for route in routes_of(planted)]


@pytest.mark.parametrize("route", SCOPED + SERVICES_ONLY, ids=str)
async def test_nobody_comes_in_without_a_token(apps: dict[str, FastAPI], route: Route) -> None:
    answer = await _ask(apps, route, None)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("route", [route for route in SCOPED if route.access != "any client"], ids=str)
async def test_every_other_scope_together_is_not_enough(apps: dict[str, FastAPI], route: Route) -> None:
    allowed = {Scope(name) for name in route.access.split(" | ")}
    answer = await _ask(apps, route, _token(frozenset(Scope) - allowed))
    assert answer.status_code == 403
    assert answer.json()["type"] == "/problems/insufficient-scope"


@pytest.mark.parametrize("route", SCOPED, ids=str)
async def test_one_right_scope_is(apps: dict[str, FastAPI], route: Route) -> None:
    names = list(Scope)[:1] if route.access == "any client" else [route.access.split(" | ")[0]]
    answer = await _ask(apps, route, _token(frozenset(Scope(name) for name in names)))
    assert answer.status_code not in {401, 403}, "then the refusals above prove nothing"


@pytest.mark.parametrize("route", SERVICES_ONLY, ids=str)
async def test_services_are_known_by_their_own_keys(apps: dict[str, FastAPI], route: Route) -> None:
    wanted = route.access.removeprefix("service: ").split()
    assert (await _ask(apps, route, _token(frozenset(Scope)))).status_code == 401
    for name in NAMES:
        answer = await _ask(apps, route, _assertion(route, name))
        assert (answer.status_code in {401, 403}) == (name not in wanted), name


@pytest.mark.parametrize("route", PAGES, ids=str)
async def test_a_page_leads_whoever_has_not_signed_in_there(apps: dict[str, FastAPI], route: Route) -> None:
    for headers in ({}, {"authorization": f"Bearer {_token(frozenset(Scope))}"}, {"cookie": "__Host-threshold=forged"}):
        answer = await _visit(apps, route, headers)
        assert (answer.status_code, answer.headers["location"].split("?")[0]) == (303, "/sign-in")


@pytest.mark.parametrize("route", PAGES, ids=str)
async def test_a_page_needs_the_scope_and_a_form_of_its_own(apps: dict[str, FastAPI], route: Route) -> None:
    allowed = {Scope(name) for name in route.access.removeprefix("page: ").split(" | ")}
    cookie, csrf = _session(frozenset(allowed))
    right = await _visit(apps, route, cookie, {"csrf": csrf})
    assert right.status_code != 403
    assert right.headers.get("location", "").split("?")[0] != "/sign-in"
    others, csrf_of_others = _session(frozenset(Scope) - allowed)
    assert (await _visit(apps, route, others, {"csrf": csrf_of_others})).status_code == 403
    if route.method == "POST":
        for form in ({}, {"csrf": ""}, {"csrf": "another"}):
            assert (await _visit(apps, route, cookie, form)).status_code == 403


@pytest.mark.parametrize("route", [each for each in SCOPED if each.service == "shelter_beds"], ids=str)
async def test_a_session_reads_where_its_scopes_do_and_writes_nothing(apps: dict[str, FastAPI], route: Route) -> None:
    allowed = frozenset(Scope(name) for name in route.access.split(" | "))
    cookie, _ = _session(allowed)
    answer = await _visit(apps, route, cookie)
    assert (answer.status_code == 401) == (route.method != "GET")
    if route.method == "GET":
        others, _ = _session(frozenset(Scope) - allowed)
        assert (await _visit(apps, route, others)).status_code == 403


async def _visit(
    apps: dict[str, FastAPI], route: Route, headers: dict[str, str], form: dict[str, str] | None = None
) -> httpx.Response:
    transport = httpx.ASGITransport(apps[route.service], raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="https://service") as client:
        return await client.request(route.method, route.target, headers=headers, data=form)


def _session(scopes: frozenset[Scope]) -> tuple[dict[str, str], str]:
    seal = Seal.of(decode_private(SECRETS["THRESHOLD_SHELTER_BEDS_ASSERTION_KEY"]))
    session = Session.begun(Principal("somebody", "an-organization", scopes), "a-secret", time.time())
    return {"cookie": f"__Host-threshold={seal.seal(session)}"}, session.csrf


async def _ask(apps: dict[str, FastAPI], route: Route, bearer: str | None) -> httpx.Response:
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {bearer}"} if bearer else {})
    transport = httpx.ASGITransport(apps[route.service], raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        return await client.request(route.method, route.target, headers=headers, content=b"[]")


def _token(scopes: frozenset[Scope]) -> str:
    key = decode_private(SECRETS["THRESHOLD_GOVERNANCE_ASSERTION_KEY"])
    return issue_access_token(Principal("somebody", "an-organization", scopes), key, time.time())


def _assertion(route: Route, issuer: str) -> str:
    return sign_assertion(
        decode_private(SECRETS[f"THRESHOLD_{issuer.upper()}_ASSERTION_KEY"]),
        issuer=issuer,
        audience=route.service,
        method=route.method,
        target=route.target,
        body=b"[]",
        now=time.time(),
    )


def _written(access: Access) -> str:
    match access:
        case Public():
            return "public"
        case ServiceOnly(services):
            return "service: " + " ".join(sorted(services))
        case SignedIn(scopes):
            return "page: " + (" | ".join(sorted(scopes)) or "anyone")
        case Scoped(scopes):
            return " | ".join(sorted(scopes)) or "any client"
