"""What is too large, or is no text that can be stored and signed, comes to no route."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from services.kit.admission import MAXIMUM_BODY_BYTES, check_text
from services.kit.auth import public
from services.kit.problems import MEDIA_TYPE, Problem
from services.kit.service import create_service
from tests.support.callers import Community, calling

router = APIRouter(dependencies=[public()])


@router.post("/raw")
async def raw(request: Request) -> int:
    return len(await request.body())


@router.get("/things/{number}")
async def read_thing(number: int, limit: int = 1) -> int:
    return number * limit


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return create_service(Community().settings("consent"), routers=[router])


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with calling(app) as http:
        yield http


def is_problem(answer: httpx.Response, name: str) -> dict[str, Any]:
    document: dict[str, Any] = answer.json()
    assert (answer.headers["content-type"], document["type"]) == (MEDIA_TYPE, f"/problems/{name}")
    return document


# --- the size of a body


async def chunks(*sizes: int) -> AsyncIterator[bytes]:
    for size in sizes:
        yield b"x" * size


async def test_a_body_may_have_64_kib_and_not_one_byte_more(client: httpx.AsyncClient) -> None:
    assert (await client.post("/raw", content=b"x" * MAXIMUM_BODY_BYTES)).json() == 65_536
    is_problem(await client.post("/raw", content=b"x" * (MAXIMUM_BODY_BYTES + 1)), "body-too-large")


async def test_a_body_of_undeclared_length_is_limited_too(client: httpx.AsyncClient) -> None:
    whole = await client.post("/raw", content=chunks(40_000, 25_536))
    assert whole.request.headers["transfer-encoding"] == "chunked"
    assert whole.json() == 65_536
    is_problem(await client.post("/raw", content=chunks(40_000, 25_536, 1)), "body-too-large")
    is_problem(await client.post("/raw", content=chunks(*[1000] * 1000)), "body-too-large")


async def test_a_body_declared_too_large_is_not_even_read(app: FastAPI) -> None:
    answers: list[Message] = []

    async def unreadable() -> Message:
        raise AssertionError("read")

    async def send(message: Message) -> None:
        answers.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/raw",
        "raw_path": b"/raw",
        "query_string": b"",
        "headers": [(b"content-length", b"999999999")],
    }
    await app(scope, unreadable, send)
    assert answers[0]["status"] == 413


# --- text that cannot be stored or signed

ESCAPES = [r"\u0000", r"\ud800", r"\udfff", r"\udc00\ud800", r"x\uD83Dx"]


@pytest.mark.parametrize("escape", ESCAPES)
async def test_nul_and_lone_surrogates_are_refused_wherever_they_stand(client: httpx.AsyncClient, escape: str) -> None:
    bodies = {f'{{"members": [1, {{"client_id": "{escape}"}}]}}': "members.1.client_id", f'{{"{escape}": 1}}': "body"}
    for body, field in bodies.items():
        answer = await client.post("/raw", content=body.encode())
        assert is_problem(answer, "invalid-body")["errors"][0]["field"] == field


@pytest.mark.parametrize("body", [b'{"a": "\x00"}', b'{"a": "\xed\xa0\x80"}', '{"a": 1}'.encode("utf-16"), b"\xff"])
async def test_bytes_that_are_no_text_are_refused(client: httpx.AsyncClient, body: bytes) -> None:
    is_problem(await client.post("/raw", content=body), "invalid-body")


async def test_nul_in_an_address_or_a_form_is_refused(client: httpx.AsyncClient) -> None:
    is_problem(await client.get("/things/1?limit=%00"), "invalid-parameter")
    is_problem(await client.get("/things/%00"), "not-found")
    is_problem(await client.post("/raw", data={"client_id": "a\0b"}), "invalid-body")


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10))
def test_exactly_the_unstorable_is_refused(value: object) -> None:
    text = json.dumps(value, ensure_ascii=True)
    unstorable = any(character == "\0" or "\ud800" <= character <= "\udfff" for character in _characters(value))
    if unstorable:
        with pytest.raises(Problem):
            check_text(text.encode())
    else:
        check_text(text.encode())
        check_text(json.dumps(value, ensure_ascii=False).encode())


@given(st.text(alphabet=st.characters(codec=None, categories=["Cs", "L"]), min_size=1))
def test_surrogates_are_refused_unless_they_are_a_pair(text: str) -> None:
    paired = json.loads(json.dumps(text))  # JSON reads an escaped pair as one character
    if any("\ud800" <= character <= "\udfff" for character in paired):
        with pytest.raises(Problem):
            check_text(json.dumps(text).encode())
    else:
        check_text(json.dumps(text).encode())


def _characters(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(_characters(item) for item in value)
    assert isinstance(value, dict)
    return "".join(key + _characters(item) for key, item in value.items())
