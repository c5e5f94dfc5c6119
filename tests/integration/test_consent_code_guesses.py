"""What could be learned of client codes by trying: from answers, from their kind while something is away, from rows."""

import asyncio
import hmac
import json
import runpy
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from services.consent import bodies
from services.consent.client_codes import WRONG_CODES
from services.consent.codes import heard
from tests.conftest import Databases
from tests.support.client_codes import MISSPELLED, WRONG, code_of, link, unknown
from tests.support.control_records import OUTREACH, SHELTER
from tests.support.governance import is_problem
from tests.support.registry import Registry, founded
from tests.support.tree import ROOT

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def registry(postgres: Databases) -> AsyncIterator[Registry]:
    async with founded(postgres) as found:
        yield found


@pytest.fixture(autouse=True)
def nobody_has_guessed(registry: Registry) -> None:
    with registry.database() as connection:
        connection.execute("DELETE FROM code_guesses")


async def test_a_misspelling_is_no_guess(registry: Registry) -> None:
    code = await code_of(registry, await registry.client())
    for _ in range(WRONG_CODES + 1):
        await unknown(registry, MISSPELLED)
    assert (await link(registry, code)).status_code == 201


async def test_a_code_that_is_ended_while_its_link_is_under_way_links_nobody(registry: Registry) -> None:
    client = await registry.client()
    code = await code_of(registry, client)
    with registry.database() as ending, ending.transaction():
        ending.execute("DELETE FROM client_codes WHERE client_id = %s", [client])
        linking = asyncio.create_task(link(registry, code))
        await registry.waiting(1)
    is_problem(await linking, 404, "unknown-code", "code")
    assert (await registry.post(SHELTER, f"/clients/{client}/code")).status_code == 404, "it was not registered"


async def test_a_right_code_of_whom_nothing_is_known_is_like_a_wrong_one(registry: Registry) -> None:
    code = await code_of(registry, client := await registry.client())
    with registry.database() as connection:
        connection.execute("UPDATE clients SET origin = 'not-on-the-log-yet' WHERE id = %s", [client])
    assert await unknown(registry, code) == await unknown(registry, WRONG)


async def test_what_is_kept_of_a_link_under_its_key_is_no_hash_of_the_code(registry: Registry) -> None:
    """Whoever has the table, and guesses the key, must not be able to try all codes on it."""
    code, key = await code_of(registry, await registry.client()), str(time.time_ns())
    body = {"code": code, "actor": {"id": "staff-7", "role": "desk"}}
    for _ in range(2):
        assert (await registry.post(SHELTER, "/clients/code-links", body, key=key)).status_code == 201
    other = body | {"code": WRONG}
    refused = await registry.post(SHELTER, "/clients/code-links", other, key=key)
    is_problem(refused, 422, "idempotency-key-reused", "Idempotency-Key")
    with registry.database() as connection:
        rows = connection.execute("SELECT request_hash FROM idempotency_keys").fetchall()
    spellings = [{"code": each, "actor": body["actor"]} for each in (code, heard(code))]
    contents = [text for one in spellings for text in (json.dumps(one), json.dumps(one, sort_keys=True))]
    contents += [bodies.NewLink.model_validate(one).model_dump_json() for one in spellings]
    hashes = [hmac.digest(key.encode(), f"/clients/code-links\n{text}".encode(), "sha256") for text in contents]
    assert [row for row in rows if row[0] in hashes] == []


async def test_the_migration_forgets_the_hashes_of_codes(registry: Registry) -> None:
    migration = runpy.run_path(str(ROOT / "services/consent/migrations/versions/0008_links_by_index.py"))
    client, key = await registry.client(), str(time.time_ns())
    assert (await registry.post(OUTREACH, f"/clients/{client}/code", key=key)).status_code == 201
    code = await code_of(registry, client)
    assert (await registry.post(SHELTER, "/clients/code-links", {"code": code}, key=key)).status_code == 201
    with registry.database() as connection, connection.transaction(force_rollback=True):
        connection.execute(migration["FORGET"])
        left = {route for (route,) in connection.execute("SELECT DISTINCT route FROM idempotency_keys").fetchall()}
    assert "POST /clients/code-links" not in left
    assert "POST /clients/{client_id}/code" in left


async def test_in_doubt_of_the_organizations_a_right_code_is_answered_like_a_wrong_one(registry: Registry) -> None:
    code = await code_of(registry, await registry.client())
    planted = await registry.producer.send_and_wait("client-events", b"rubbish", b"control/outreach", 3)
    await registry.view.reached({3: planted.offset + 1})
    answers = [await link(registry, typed) for typed in (code, WRONG, MISSPELLED)]
    for answer in answers:
        is_problem(answer, 503, "dependency-down")
    assert len({answer.content for answer in answers}) == 1
