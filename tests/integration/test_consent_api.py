"""Consent's API: who may do and see what, how persons become clients, what is kept and what is not."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, pool

from policy.murmur2 import partition_of
from policy.state import PartitionState
from policy.step import Fold
from schemas.records import ConsentExcluded, ConsentGranted, ConsentRefused, ConsentRevoked
from services.consent.clients import read_consents
from services.consent.tables import METADATA
from services.kit.auth import Scope
from services.kit.broker import read_all
from tests.conftest import Databases
from tests.support.control_records import ANNEX, BYSTANDER, OUTREACH, PURPOSE, SHELTER
from tests.support.log import PARTITIONS, ROOT_FINGERPRINT, decode_event
from tests.support.registry import SCOPES, SHARED_SYSTEM, Registry, assert_names, founded
from tests.support.sealed import form
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.asyncio(loop_scope="module")

KIT_TABLES = {"alembic_version", "outbox"}
CANARY = "Canary-Magdalena"
LATER = (datetime.now(UTC) + timedelta(days=1)).isoformat()
EARLIER = (datetime.now(UTC) - timedelta(days=1)).isoformat()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def registry(postgres: Databases) -> AsyncIterator[Registry]:
    async with founded(postgres) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(registry: Registry) -> str:
    """A client of outreach's, for what is refused anyway."""
    return await registry.client()


async def test_the_migration_makes_the_declared_tables(registry: Registry) -> None:
    engine = create_engine(registry.settings.database_url.get_secret_value(), poolclass=pool.NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"include_object": lambda _, name, kind, *__: kind != "table" or name not in KIT_TABLES},
        )
        assert compare_metadata(context, METADATA) == []


async def test_a_shared_system_is_only_its_members(registry: Registry) -> None:
    person = (SHARED_SYSTEM, str(time.time_ns()))
    client = await registry.client(OUTREACH, person)
    assert await registry.client(OUTREACH, person) == client
    assert await registry.client(ANNEX, person) == client
    stranger = {"identifiers": [{"system": person[0], "value": person[1]}]}
    assert_names(await registry.post(BYSTANDER, "/clients", stranger), "identifiers.0.system")

    registry.systems["left"] = [OUTREACH, SHELTER]
    person = ("left", person[1])
    assert await registry.client(OUTREACH, person) != client, "another system's value is another identifier"
    registry.systems["left"] = [OUTREACH]
    refused = await registry.post(SHELTER, "/clients", {"identifiers": [{"system": "left", "value": person[1]}]})
    assert_names(refused, "identifiers.0.system")


async def test_a_local_system_is_an_organizations_own(registry: Registry) -> None:
    person = ("local", str(time.time_ns()))
    mine = await registry.client(OUTREACH, person)
    assert await registry.client(OUTREACH, person) == mine
    assert await registry.client(SHELTER, person) != mine
    assert await registry.client() != await registry.client(), "without identifiers everybody is new"


async def test_the_first_known_identifier_decides_and_no_two_clients_become_one(registry: Registry) -> None:
    number = str(time.time_ns())
    one, other = ("local", f"{number}-1"), (SHARED_SYSTEM, f"{number}-2")
    first, second = await registry.client(OUTREACH, one), await registry.client(OUTREACH, other)
    assert await registry.client(OUTREACH, one, other) == first
    assert await registry.client(OUTREACH, other, one) == second
    third = ("local", f"{number}-3")
    assert await registry.client(OUTREACH, third, other) == second, "who is known gets the new identifier too"
    assert await registry.client(OUTREACH, third) == second


async def test_one_person_registered_by_many_at_once_is_one_client(registry: Registry) -> None:
    person = (SHARED_SYSTEM, str(time.time_ns()))
    own = [("local", f"{person[1]}-{number}") for number in range(5)]
    asked = [registry.client(OUTREACH if number % 2 else ANNEX, own[number % 5], person) for number in range(20)]
    assert len(set(await asyncio.gather(*asked))) <= 2, "one, unless a system of one's own was known first"
    assert await registry.client(OUTREACH, person) == await registry.client(ANNEX, person)


async def test_nothing_in_the_tables_tells_who_a_client_is(registry: Registry) -> None:
    value = f"{CANARY}-{time.time_ns()}"
    client = await registry.client(OUTREACH, ("local", value), (SHARED_SYSTEM, value))
    with registry.database() as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in tables:
            text = connection.execute(f"SELECT string_agg(t::text, ' ') FROM \"{table}\" t").fetchone()  # noqa: S608
            assert text is not None
            content = text[0] or ""
            assert CANARY not in content
            assert CANARY.encode().hex() not in content
        found = connection.execute("SELECT count(*) FROM identifiers WHERE client_id = %s", [client]).fetchone()
    assert found == (2,)


async def test_a_consent_is_shown_as_it_was_recorded(registry: Registry) -> None:
    client = await registry.client()
    signed = {**form("written"), "language": "es", "document": {"sha256": "ab" * 32, "held_by": "outreach"}}
    body = registry.consent(client, form=signed, actor={"id": "staff-7", "role": "navigator"})
    made = await registry.post(OUTREACH, "/consents", body, prefer="wait=10")
    consent = made.json()
    assert (made.status_code, consent["state"], consent["status"]) == (201, "accepted", "active")
    assert (consent["recorded_by"], consent["version"], consent["decision"]) == (OUTREACH, 1, "permit")
    assert (consent["to"], consent["categories"]) == ([SHELTER], ["household", "identity"])
    assert consent["form"] == signed
    assert datetime.fromisoformat(consent["expires_at"]) == datetime.fromisoformat(body["expires_at"])
    assert (await registry.get(OUTREACH, f"/consents/{consent['id']}")).json() == consent


async def test_what_a_consent_does_now_is_its_status(registry: Registry) -> None:
    client = await registry.client()
    consents = {
        "active": await registry.permit(client, categories=["identity", "health"]),
        "not-yet-valid": await registry.permit(client, valid_from=LATER),
        "revoked": await registry.permit(client, categories=["veteran"]),
        "lifted": await registry.narrow(client, "exclude", to=[ANNEX]),
    }
    await registry.revoke(client, scope="category", category="veteran")
    await registry.revoke(client, scope="category", category="health")
    await registry.permit(client, to=[ANNEX])
    for status, consent in consents.items():
        assert (await registry.get(OUTREACH, f"/consents/{consent['id']}")).json()["status"] == status
    expiry = (datetime.now(UTC) + timedelta(seconds=0.5)).isoformat()
    expired = await registry.permit(client, expires_at=expiry)

    async def has_expired() -> bool:
        shown = await registry.get(OUTREACH, f"/consents/{expired['id']}")
        return bool(shown.json()["status"] == "expired")

    await wait_until_async(has_expired, what="the consent to expire")


async def test_the_list_is_of_ones_own_consents_in_pages(registry: Registry) -> None:
    person = (SHARED_SYSTEM, str(time.time_ns()))
    client = await registry.client(OUTREACH, person)
    await registry.client(ANNEX, person)
    mine = [(await registry.permit(client))["id"] for _ in range(5)]
    await registry.permit(client, ANNEX)
    seen, path = [], f"/consents?client_id={client}&limit=2"
    page = (await registry.get(OUTREACH, path)).json()
    while page["next"] is not None:
        seen += [consent["id"] for consent in page["items"]]
        page = (await registry.get(OUTREACH, f"{path}&after={page['next']}")).json()
    seen += [consent["id"] for consent in page["items"]]
    assert seen == mine
    assert (await registry.get(BYSTANDER, "/consents", client_id=client)).json() == {"items": [], "next": None}
    everything = (await registry.get(OUTREACH, "/consents", limit="200")).json()["items"]
    assert {consent["recorded_by"] for consent in everything} == {OUTREACH}
    assert set(mine) <= {consent["id"] for consent in everything}


async def test_anothers_objects_are_not_found_like_those_that_never_were(registry: Registry) -> None:
    client = await registry.client()
    consent = (await registry.permit(client))["id"]
    missing = "0" * 32
    for there, nowhere in (
        (await registry.get(SHELTER, f"/consents/{consent}"), await registry.get(SHELTER, f"/consents/{missing}")),
        (
            await registry.post(SHELTER, "/consents", registry.consent(client, to=[ANNEX])),
            await registry.post(SHELTER, "/consents", registry.consent(missing, to=[ANNEX])),
        ),
        (
            await registry.post(SHELTER, f"/clients/{client}/registration"),
            await registry.post(SHELTER, f"/clients/{missing}/registration"),
        ),
        (
            await registry.get(SHELTER, f"/clients/{client}/revocation"),
            await registry.get(SHELTER, f"/clients/{missing}/revocation"),
        ),
    ):
        assert (there.status_code, there.json()["type"]) == (404, "/problems/not-found")
        assert there.content == nowhere.content


NEEDED = [
    ("POST", "/clients", {Scope.CLIENTS_WRITE}),
    ("POST", "/clients/x/registration", {Scope.CLIENTS_WRITE}),
    ("POST", "/consents", {Scope.CONSENTS_WRITE}),
    ("GET", "/consents", {Scope.CONSENTS_READ}),
    ("GET", "/consents/x", {Scope.CONSENTS_READ}),
    ("POST", "/consents/x/revocation", {Scope.CONSENTS_REVOKE}),
    ("POST", "/consents/x/entered-in-error", {Scope.CONSENTS_REVOKE}),
    ("POST", "/consents/x/renewal", {Scope.CONSENTS_WRITE}),
    ("GET", "/consents/x/revocation", {Scope.CONSENTS_REVOKE, Scope.CONSENTS_READ}),
    ("POST", "/clients/x/revocation", {Scope.CONSENTS_REVOKE}),
    ("GET", "/clients/x/revocation", {Scope.CONSENTS_REVOKE, Scope.CONSENTS_READ}),
]


@pytest.mark.parametrize(("method", "path", "enough"), NEEDED)
async def test_each_route_needs_its_scope(registry: Registry, method: str, path: str, enough: set[Scope]) -> None:
    body: dict[str, str] | None = {} if method == "POST" else None

    async def status(headers: dict[str, str]) -> int:
        return (await registry.http.request(method, path, json=body, headers=headers)).status_code

    assert await status({}) == 401
    assert await status(registry.headers(OUTREACH, [scope for scope in Scope if scope not in enough])) == 403
    for scope in enough:
        assert await status(registry.headers(OUTREACH, [scope])) in (200, 201, 404, 422)


async def test_the_administrator_discloses_nothing(registry: Registry, client: str) -> None:
    for path, body in (
        ("/clients", {}),
        ("/consents", registry.consent(client)),
        (f"/clients/{client}/revocation", {"requested_by": "client"}),
    ):
        refused = await registry.post(None, path, body, scopes=(*SCOPES, Scope.ADMIN))
        assert (refused.status_code, refused.json()["type"]) == (403, "/problems/organization-needed")


async def test_a_request_repeated_with_its_key_is_done_once(registry: Registry) -> None:
    made = [await registry.post(OUTREACH, "/clients", {}, key="one-client") for _ in range(2)]
    assert made[0].json() == made[1].json()
    client = made[0].json()["client_id"]
    body = registry.consent(client)
    recorded = await asyncio.gather(*(registry.post(OUTREACH, "/consents", body, key="one-consent") for _ in range(5)))
    assert len({answer.json()["id"] for answer in recorded}) == 1
    assert len((await registry.get(OUTREACH, "/consents", client_id=client)).json()["items"]) == 1
    said = {"requested_by": "client"}
    revoked = [await registry.post(OUTREACH, f"/clients/{client}/revocation", said, key="one") for _ in range(2)]
    assert revoked[0].json()["id"] == revoked[1].json()["id"]
    other = await registry.post(OUTREACH, "/consents", body | {"to": [ANNEX]}, key="one-consent")
    assert (other.status_code, other.json()["type"]) == (422, "/problems/idempotency-key-reused")


async def test_what_is_recorded_is_what_the_boundary_folds(registry: Registry) -> None:
    """Every record of this test's clients, in its place on the log, verifies and applies; so do all the others."""
    client = await registry.client()
    await registry.permit(client, purposes=[PURPOSE], actor={"id": "staff-7", "role": "navigator"})
    await registry.narrow(client, "refuse", categories=["health"])
    await registry.narrow(client, "exclude", to=[ANNEX], categories=None, purposes=None)
    await registry.revoke(client, scope="category", category="identity", reason_code="safety")
    await registry.receipt(client, state="effective")

    folds = [Fold(PartitionState(partition=number, root_fingerprint=ROOT_FINGERPRINT)) for number in range(PARTITIONS)]
    results, events = set(), []
    async for run in read_all(registry.broker.bootstrap, "client-events", dict.fromkeys(range(PARTITIONS), 0)):
        for record in run:
            answer = folds[record.partition].step(record.timestamp_ms, record.key, record.headers, record.value)
            results.add(json.loads(answer)["result"])
            if record.key == client.encode() and record.value is not None:
                events.append(decode_event(record.value))
    assert results == {"applied"}
    assert [type(event) for event in events] == [ConsentGranted, ConsentRefused, ConsentExcluded, ConsentRevoked]
    folded = folds[partition_of(client.encode(), PARTITIONS)].state.consents_of(client)
    with registry.database() as connection:
        kept = connection.execute("SELECT consents, last_order FROM clients WHERE id = %s", [client]).fetchone()
        placed = connection.execute(
            "SELECT log_partition FROM consents WHERE client_id = %s UNION SELECT log_partition FROM revocations"
            " WHERE client_id = %s",
            [client, client],
        ).fetchall()
    assert kept is not None
    assert (read_consents(kept[0]), kept[1]) == (folded, folded.mark), "our tables and the log say the same"
    assert placed == [(partition_of(client.encode(), PARTITIONS),)]
