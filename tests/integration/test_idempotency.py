"""One key, one effect, one answer: repeated, raced, altered, failed, or with a secret in it."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from pydantic import BaseModel, SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.kit import idempotency
from services.kit.auth import Principal, Scope, requires
from services.kit.database import Database
from services.kit.idempotency import Once
from services.kit.problems import Problem
from services.kit.service import create_service
from tests.conftest import Databases
from tests.support.callers import Community, bearer, calling

COMMUNITY = Community()
SECRET = "s3cr3t-shown-once"


class Thing(BaseModel):
    number: int
    secret: str | None = None


router = APIRouter()
Caller = Annotated[Principal, requires()]


async def count(session: AsyncSession, delay: float = 0.0) -> int:
    inserted = await session.execute(text("INSERT INTO things DEFAULT VALUES RETURNING number"))
    await session.execute(text("SELECT pg_sleep(:delay)"), {"delay": delay})
    return int(inserted.scalar_one())


@router.post("/things", status_code=201)
async def create_thing(body: dict[str, str], caller: Caller, once: Once) -> Thing:
    async def make(session: AsyncSession) -> Thing:
        number = await count(session, delay=float(body.get("delay", 0)))
        if "refuse" in body:
            raise Problem("already-exists")
        return Thing(number=number, secret=SECRET)

    return await once(caller, Thing, make, secret=frozenset({"secret"}))


@router.post("/boxes/{box}/things", status_code=201)
async def create_thing_in_box(box: str, body: dict[str, str], caller: Caller, once: Once) -> Thing:
    assert box, body

    async def make(session: AsyncSession) -> Thing:
        return Thing(number=await count(session))

    return await once(caller, Thing, make)


@pytest.fixture
async def database(postgres: Databases) -> AsyncIterator[Database]:
    opened = Database(SecretStr(postgres.create_database("kit")))
    async with opened.engine.begin() as connection:
        await connection.run_sync(idempotency.KEYS.metadata.create_all)
        await connection.execute(text("CREATE TABLE things (number serial PRIMARY KEY)"))
    yield opened
    await opened.close()


@pytest.fixture
async def client(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    app: FastAPI = create_service(COMMUNITY.settings("consent"), routers=[router], clock=COMMUNITY.clock)
    app.state.database = database
    async with calling(app) as http:
        yield http


async def post(
    client: httpx.AsyncClient, key: str | None, path: str = "/things", organization: str | None = "harbor", **body: str
) -> httpx.Response:
    token = COMMUNITY.token(organization, [Scope.ADMIN])
    headers = bearer(token) | ({"Idempotency-Key": key} if key is not None else {})
    return await client.post(path, json=body, headers=headers)


async def things(database: Database) -> int:
    async with database.transaction() as session:
        return int((await session.scalars(text("SELECT count(*) FROM things"))).one())


async def test_without_a_key_every_request_has_its_effect(client: httpx.AsyncClient, database: Database) -> None:
    assert [(await post(client, None)).status_code for _ in range(2)] == [201, 201]
    assert await things(database) == 2


async def test_a_repetition_gets_the_answer_without_the_effect(client: httpx.AsyncClient, database: Database) -> None:
    first, second = await post(client, "k"), await post(client, "k")
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["number"] == second.json()["number"]
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert await things(database) == 1


async def test_of_many_at_once_one_has_the_effect(client: httpx.AsyncClient, database: Database) -> None:
    answers = await asyncio.gather(*(post(client, "k", delay="0.1") for _ in range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["number"] for answer in answers}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    assert await things(database) == 1


async def test_a_key_is_for_one_request(client: httpx.AsyncClient, database: Database) -> None:
    await post(client, "k", name="a")
    other = await post(client, "k", name="b")
    assert (other.status_code, other.json()["type"]) == (422, "/problems/idempotency-key-reused")
    assert other.json()["errors"][0]["field"] == "Idempotency-Key"
    assert await things(database) == 1


async def test_a_key_on_another_object_of_the_same_route_is_another_request(client: httpx.AsyncClient) -> None:
    assert (await post(client, "k", "/boxes/a/things")).status_code == 201
    assert (await post(client, "k", "/boxes/b/things")).status_code == 422


async def test_keys_of_others_and_of_other_routes_do_not_collide(client: httpx.AsyncClient, database: Database) -> None:
    answers = [
        await post(client, "k"),
        await post(client, "k", "/boxes/a/things"),
        await post(client, "k", organization="haven"),
        await post(client, "k", organization=None),
    ]
    assert len({answer.json()["number"] for answer in answers}) == 4
    assert await things(database) == 4


async def test_the_spelling_of_the_json_does_not_matter(client: httpx.AsyncClient, database: Database) -> None:
    headers = bearer(COMMUNITY.token("harbor", [])) | {"Idempotency-Key": "k", "Content-Type": "application/json"}
    for content in ('{"a":"1","b":"2"}', '{ "b": "2", "a": "1" }'):
        assert (await client.post("/things", content=content, headers=headers)).status_code == 201
    assert await things(database) == 1


async def test_a_request_that_failed_may_be_repeated_with_its_key(
    client: httpx.AsyncClient, database: Database
) -> None:
    assert (await post(client, "k", refuse="yes")).status_code == 409
    assert await things(database) == 0
    assert (await post(client, "k", name="a")).status_code == 201


async def test_a_secret_is_shown_once_and_never_stored(client: httpx.AsyncClient, database: Database) -> None:
    first, second = await post(client, "key-of-the-caller"), await post(client, "key-of-the-caller")
    assert first.json()["secret"] == SECRET
    assert second.json()["secret"] is None
    async with database.transaction() as session:
        (row,) = await session.execute(
            text("SELECT k::text AS row, encode(key_hash, 'escape') FROM idempotency_keys k")
        )
    stored: Any = json.dumps([str(value) for value in row])
    assert SECRET not in stored
    assert "key-of-the-caller" not in stored


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_a_key_that_is_none_is_refused(client: httpx.AsyncClient, key: str) -> None:
    answer = await post(client, key)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "Idempotency-Key")


async def test_old_keys_are_forgotten(client: httpx.AsyncClient, database: Database) -> None:
    await post(client, "old")
    async with database.transaction() as session:
        await session.execute(text("UPDATE idempotency_keys SET created_at = now() - interval '49 hours'"))
    await post(client, "new")
    assert "idempotency-replayed" not in (await post(client, "old")).headers
    assert await things(database) == 3
