"""Secrets tried at governance many at once, and while its database can't say whether they are right."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from services.kit.attempts import PER_CLIENT
from services.kit.auth import Scope
from tests.conftest import Databases
from tests.support.callers import bearer
from tests.support.doubted import House, opened

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(postgres: Databases) -> AsyncIterator[House]:
    async with opened(postgres.create_database("governance")) as found:
        yield found


async def credential(house: House) -> tuple[str, str]:
    body = {"name": "system", "scopes": ["inbox:read"]}
    headers = bearer(house.community.token(None, [Scope.ADMIN]))
    made = (await house.http.post("/organizations/outreach/credentials", json=body, headers=headers)).json()
    return made["client_id"], made["client_secret"]


async def try_(house: House, client_id: str, secret: str) -> int:
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
    return (await house.http.post("/oauth/token", data=form)).status_code


async def test_wrong_secrets_at_once_are_counted_before_they_are_looked_at(house: House) -> None:
    client_id, secret = await credential(house)
    answers = await asyncio.gather(*(try_(house, client_id, f"wrong {number}") for number in range(3 * PER_CLIENT)))
    assert sorted(answers) == [401] * PER_CLIENT + [429] * 2 * PER_CLIENT
    assert await try_(house, client_id, secret) == 429


async def test_what_nobody_could_judge_is_not_counted(house: House) -> None:
    client_id, secret = await credential(house)
    with house.database() as connection:
        connection.execute("ALTER TABLE credentials RENAME TO credentials_away")
        try:
            assert [await try_(house, client_id, secret) for _ in range(PER_CLIENT + 1)] == [500] * (PER_CLIENT + 1)
        finally:
            connection.execute("ALTER TABLE credentials_away RENAME TO credentials")
    assert await try_(house, client_id, secret) == 200
