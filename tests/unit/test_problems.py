"""Every error is a problem document that names the field and quotes nothing of the request."""

import json
from collections.abc import AsyncIterator
from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Literal

import httpx
import pytest
from fastapi import APIRouter, FastAPI, HTTPException, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr
from sqlalchemy.exc import OperationalError

from services.kit.auth import public
from services.kit.database import Database
from services.kit.problem_types import PROBLEM_TYPES
from services.kit.problems import Problem, refusal
from services.kit.service import create_service
from tests.support.callers import Community, calling

CANARY = "Jane-Canary-1961"


class Color(StrEnum):
    RED = "red"


def in_the_future(day: date) -> date:
    if day.year < 2000:
        raise refusal("must be in the future")
    return day


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


class Member(BaseModel):
    model_config = ConfigDict(extra="forbid")

    client_id: Annotated[str, Field(pattern=r"^[a-z]{3}$")]
    born: date = date(2020, 1, 1)
    color: Color = Color.RED
    size: Annotated[int, Field(ge=1, le=8)] = 1
    expires: Annotated[date, AfterValidator(in_the_future)] = date(2020, 1, 1)
    parsed: Annotated[object, AfterValidator(lambda text: text and date.fromisoformat(str(text)))] = None
    pet: Annotated[Cat | Dog, Field(discriminator="kind")] = Cat(kind="cat")


class Body(BaseModel):
    members: list[Member]


router = APIRouter(dependencies=[public()])


@router.post("/things")
async def create_thing(body: Body) -> int:
    return len(body.members)


@router.get("/things/{number}")
async def read_thing(number: int, limit: int = 1) -> int:
    return number * limit


@router.get("/fails")
async def fail() -> None:
    raise ValueError(CANARY)


@router.get("/database-fails")
async def database_fails() -> None:
    raise OperationalError(CANARY, {"name": CANARY}, Exception(CANARY))


@router.get("/refuses")
async def refuse() -> None:
    raise Problem("already-exists", "This id is taken.", field="id", headers={"X-Hint": "1"}, extra={"id": "x"})


@router.get("/teapot")
async def teapot() -> None:
    raise HTTPException(418, CANARY)


@router.post("/raw")
async def raw(request: Request) -> int:
    return len(await request.body())


class Away(Database):
    """A database that can't be reached, as it is once a service has started."""

    def __init__(self) -> None:
        super().__init__(SecretStr("postgresql+psycopg://nobody@/nothing"))

    async def migrate(self, service: str) -> None:
        """Do nothing."""


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return create_service(Community().settings("consent"), routers=[router], database=Away())


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with calling(app) as http:
        yield http


def is_problem(answer: httpx.Response, name: str) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert (document["type"], document["status"]) == (f"/problems/{name}", answer.status_code)
    assert document["status"] == PROBLEM_TYPES[name].status
    assert document["title"] == PROBLEM_TYPES[name].title
    assert CANARY not in answer.text
    return document


@pytest.mark.parametrize(
    ("member", "field"),
    [
        ({}, "members.0.client_id"),
        ({"client_id": CANARY}, "members.0.client_id"),
        ({"client_id": 1961}, "members.0.client_id"),
        ({"client_id": "abc", "born": CANARY}, "members.0.born"),
        ({"client_id": "abc", "color": CANARY}, "members.0.color"),
        ({"client_id": "abc", "size": CANARY}, "members.0.size"),
        ({"client_id": "abc", "size": 9}, "members.0.size"),
        ({"client_id": "abc", "expires": "1961-01-01"}, "members.0.expires"),
        ({"client_id": "abc", "parsed": CANARY}, "members.0.parsed"),
        ({"client_id": "abc", "pet": {"kind": CANARY}}, "members.0.pet"),
        ({"client_id": "abc", "surname": CANARY}, "members.0.surname"),
        ({"client_id": "abc", CANARY: "x"}, "members.0.(unknown)"),
        (CANARY, "members.0"),
    ],
)
async def test_a_wrong_field_is_named_and_its_value_is_not_echoed(
    client: httpx.AsyncClient, member: object, field: str
) -> None:
    document = is_problem(await client.post("/things", json={"members": [member]}), "invalid-body")
    assert [error["field"] for error in document["errors"]] == [field]
    assert document["detail"].startswith(f"{field}: ")
    assert "1961" not in json.dumps(document)


async def test_what_is_expected_is_said(client: httpx.AsyncClient) -> None:
    answer = await client.post("/things", json={"members": [{"client_id": "abc", "color": "blue"}, {}]})
    errors = is_problem(answer, "invalid-body")["errors"]
    assert errors == [
        {"field": "members.0.color", "detail": "Input should be 'red'"},
        {"field": "members.1.client_id", "detail": "Field required"},
    ]


async def test_a_wrong_parameter_is_named(client: httpx.AsyncClient) -> None:
    answer = await client.get("/things/7", params={"limit": CANARY})
    assert is_problem(answer, "invalid-parameter")["errors"][0]["field"] == "limit"
    assert is_problem(await client.get(f"/things/{CANARY}"), "invalid-parameter")["errors"][0]["field"] == "number"


@pytest.mark.parametrize("body", [f'{{"name": "{CANARY}', "", CANARY, "[", "[" * 30_000, "nul"])
async def test_what_is_not_json_is_an_invalid_body(client: httpx.AsyncClient, body: str) -> None:
    answer = await client.post("/things", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in {400, 422}
    is_problem(answer, "invalid-body" if answer.status_code == 422 else "malformed-request")


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/nowhere", "not-found"),
        ("DELETE", "/things", "method-not-allowed"),
        ("GET", "/fails", "internal-error"),
        ("GET", "/database-fails", "database-down"),
        ("GET", "/teapot", "internal-error"),
    ],
)
async def test_every_failure_is_a_problem(client: httpx.AsyncClient, method: str, path: str, name: str) -> None:
    document = is_problem(await client.request(method, path), name)
    assert document["detail"] == PROBLEM_TYPES[name].meaning


async def test_a_problem_of_the_domain_is_answered_as_it_was_raised(client: httpx.AsyncClient) -> None:
    answer = await client.get("/refuses")
    assert answer.headers["x-hint"] == "1"
    assert is_problem(answer, "already-exists") == {
        "type": "/problems/already-exists",
        "title": "Already exists",
        "status": 409,
        "detail": "This id is taken.",
        "errors": [{"field": "id", "detail": "This id is taken."}],
        "id": "x",
    }


def test_a_problem_that_is_not_in_the_table_cannot_be_raised() -> None:
    with pytest.raises(KeyError):
        Problem("made-up")


async def test_each_type_leads_to_its_explanation(client: httpx.AsyncClient) -> None:
    for name, kind in PROBLEM_TYPES.items():
        answer = await client.get(f"/problems/{name}")
        assert answer.json() == {"status": kind.status, "title": kind.title, "meaning": kind.meaning}
    is_problem(await client.get("/problems/made-up"), "not-found")


async def test_requests_are_counted_by_template_never_by_address(client: httpx.AsyncClient) -> None:
    await client.get(f"/things/{CANARY}")
    await client.get(f"/{CANARY}")
    await client.request(CANARY, "/things/1")
    metrics = (await client.get("/metrics")).text
    assert 'method="GET",route="/things/{number}",status="422"' in metrics
    assert 'method="unrouted",route="unrouted",status="404"' in metrics
    assert CANARY not in metrics
