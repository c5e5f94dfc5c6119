"""The referrals API: what is refused and which field is named, what reaches the log, what is kept."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import psycopg
import pytest
import pytest_asyncio
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from schemas.records import ReferralRequested, ReferralUpdated
from services.kit.auth import Scope
from services.referrals.tables import METADATA
from tests.conftest import Databases
from tests.support.chronicle import FUNDER, OUTREACH, SAFE_HOUSE, SHELTER
from tests.support.governance import is_problem
from tests.support.referral_refusals import CANARY, REFUSALS, Body
from tests.support.tables import direct
from tests.support.town import BACKFILL, Town, founded

pytestmark = pytest.mark.asyncio(loop_scope="module")
KIT_TABLES = {"alembic_version", "idempotency_keys", "outbox", "positions"}
NEED = {"household_type": "with_children", "household_size": 4, "beds": 3, "needed_on": "2026-12-01"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(postgres: Databases) -> AsyncIterator[Town]:
    async with founded(postgres.create_database("referrals")) as found, found.serving():
        yield found


@pytest.mark.parametrize("name", REFUSALS)
async def test_a_refusal_names_the_field_and_repeats_nothing(town: Town, name: str) -> None:
    refusal = REFUSALS[name]
    answer = await town.post(OUTREACH, "/referrals", refusal.change(town, town.body()))
    is_problem(answer, refusal.status, refusal.problem, refusal.field)
    assert CANARY not in answer.text


async def test_a_refusal_leaves_nothing(town: Town) -> None:
    body = town.body(call_back="nobody")
    assert (await town.post(OUTREACH, "/referrals", body)).status_code == 422
    listed = await town.get(OUTREACH, "/referrals", limit="200")
    assert body["members"][0]["client_id"] not in listed.text


async def test_a_body_of_more_than_64_kib_is_refused(town: Town) -> None:
    is_problem(await town.post(OUTREACH, "/referrals", {"notes": "x" * 65_536}), 413, "body-too-large")


async def test_scopes_and_organizations(town: Town) -> None:
    answer = await town.post(OUTREACH, "/referrals", town.body(), scopes=[Scope.REFERRALS_READ])
    is_problem(answer, 403, "insufficient-scope")
    is_problem(await town.http.get("/referrals"), 401, "unauthenticated")
    referral = await town.refer()
    for organization in (SAFE_HOUSE, FUNDER):
        is_problem(await town.get(organization, f"/referrals/{referral}"), 404, "not-found")
        is_problem(await town.move(organization, referral, "cancelled"), 404, "not-found")
    more = {"client_id": "a-client-of-nobody", "segments": {"identity": {"first_name": CANARY}}}
    is_problem(await town.post(SHELTER, f"/referrals/{referral}/segments", more), 404, "not-found")


async def test_what_is_said_is_sealed_for_its_client_and_the_need_goes_with_the_head(town: Town) -> None:
    mother, child = (town.keys.client(OUTREACH) for _ in range(2))
    members = [
        town.member(child, 2, identity={"first_name": CANARY}),
        town.member(mother, 1, identity={"first_name": CANARY, "ssn": "xxxxx0000"}, household={"household_size": 4}),
    ]
    actor = {"id": "w-17", "role": "navigator"}
    referral = await town.refer(
        members=members, need=NEED, publisher_project=f"project-{OUTREACH}", actor=actor, external_id="A#1"
    )
    events = {event.data.client_id: event for event in await town.wait_events(referral, 2)}
    assert all(isinstance(event, ReferralRequested) for event in events.values())
    assert town.opened(events[child]) == {"identity": {"first_name": CANARY}}
    assert town.opened(events[mother]) == {
        "identity": {"first_name": CANARY, "ssn": "xxxxx0000"},
        "household": {"household_size": 4},
        "need": NEED | {"service": "ES", "household_size": "3-4"},
    }
    data = events[mother].data
    assert (data.publisher, data.referral.originator) == (data.referral.originator, data.publisher)
    assert (data.publisher.project, data.call_back) == (f"project-{OUTREACH}", f"desk-{OUTREACH}")
    assert data.actor is not None
    assert events[child].data.recipients[0].reference is None
    reference = data.recipients[0].reference
    assert reference not in {None, referral}
    view = await town.own_view(referral)
    assert [each["reference"] for each in view["crossing"]] == [reference, None]
    assert [each["head_of_household"] for each in view["members"]] == [True, False]
    assert view["members"][0]["categories"] == ["household", "identity", "need"]
    assert view["external_id"] == "A#1"
    assert "A#1" not in "".join(map(str, events.values()))


async def test_more_segments_come_in_a_new_envelope_beside_the_others(town: Town) -> None:
    client = town.keys.client(OUTREACH)
    referral = await town.refer(members=[town.member(client, identity={"first_name": "Rosa"}, notes={"text": "one"})])
    more = {"client_id": client, "segments": {"identity": {"first_name": CANARY}, "health": {"due_date": "2027-03-01"}}}
    answer = await town.post(OUTREACH, f"/referrals/{referral}/segments", more, key="more")
    again = await town.post(OUTREACH, f"/referrals/{referral}/segments", more, key="more")
    assert (answer.status_code, answer.json()) == (200, again.json())
    updated = (await town.wait_events(referral, 2))[1]
    assert isinstance(updated, ReferralUpdated)
    assert [(envelope.seq, sorted(envelope.boxes)) for envelope in updated.data.sealed] == [
        (1, ["need", "notes"]),
        (2, ["health", "identity"]),
    ]
    assert town.opened(updated)["identity"] == {"first_name": CANARY}
    assert len(await town.events(referral)) == 2


async def test_segments_said_at_once_all_stay(town: Town) -> None:
    client = town.keys.client(OUTREACH)
    referral = await town.refer(client_id=client)
    said = [{"identity": {"first_name": CANARY}}, {"notes": {"text": CANARY}}, {"contact": {"city": CANARY}}]
    path = f"/referrals/{referral}/segments"
    await asyncio.gather(*(town.post(OUTREACH, path, {"client_id": client, "segments": each}) for each in said))
    events = await town.wait_events(referral, 4)
    assert [event.data.referral.version for event in events] == [1, 2, 3, 4]
    assert set(town.opened(events[-1])) == {"need", "identity", "notes", "contact"}
    assert [envelope.seq for envelope in events[-1].data.sealed] == [1, 2, 3, 4]


async def test_what_segments_are_refused(town: Town) -> None:
    client, other = town.keys.client(OUTREACH), town.keys.client(OUTREACH)
    referral = await town.refer(client_id=client)
    path = f"/referrals/{referral}/segments"
    said = {"notes": {"text": CANARY}}
    is_problem(await town.post(OUTREACH, path, {"client_id": client, "segments": {}}), 422, "invalid-body", "segments")
    answer = await town.post(OUTREACH, path, {"client_id": other, "segments": said})
    is_problem(answer, 404, "client-not-registered", "client_id")
    assert (await town.move(OUTREACH, referral, "cancelled")).status_code == 200
    is_problem(await town.post(OUTREACH, path, {"client_id": client, "segments": said}), 409, "wrong-status")


async def test_no_more_is_sealed_than_a_record_holds(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.referrals.sealed.MAXIMUM_SEALED_BYTES", 4_000)
    client = town.keys.client(OUTREACH)
    body = town.body(members=[town.member(client, notes={"text": "ä" * 2_000})])
    is_problem(await town.post(OUTREACH, "/referrals", body), 413, "sealed-too-large", "members.0.segments")
    referral = await town.refer(client_id=client)
    more = {"client_id": client, "segments": {"notes": {"text": "x" * 4_000}}}
    answer = await town.post(OUTREACH, f"/referrals/{referral}/segments", more)
    is_problem(answer, 413, "sealed-too-large", "segments")


async def test_a_victim_service_provider_seals_nothing_without_a_release(town: Town) -> None:
    bare, released = town.keys.client(SAFE_HOUSE), town.keys.client(SAFE_HOUSE, "identity")
    name = {"first_name": CANARY}
    body = town.body(SAFE_HOUSE, members=[town.member(bare, identity=name)])
    is_problem(await town.post(SAFE_HOUSE, "/referrals", body), 422, "vsp-no-release", "members.0.segments.identity")
    body = town.body(SAFE_HOUSE, members=[town.member(released, identity=name, health={"due_date": "2027-01-01"})])
    is_problem(await town.post(SAFE_HOUSE, "/referrals", body), 422, "vsp-no-release", "members.0.segments.health")
    cases: list[tuple[str, Body]] = [(bare, {}), (released, {"identity": name})]
    for client, segments in cases:
        referral = await town.refer(SAFE_HOUSE, members=[town.member(client, **segments)])
        (event,) = await town.wait_events(referral, 1)
        assert set(town.opened(event)) == {"need", *segments}
        more = {"client_id": client, "segments": {"notes": {"text": CANARY}}}
        answer = await town.post(SAFE_HOUSE, f"/referrals/{referral}/segments", more)
        is_problem(answer, 422, "vsp-no-release", "segments.notes")


async def test_a_client_of_a_victim_service_provider_is_used_once(town: Town) -> None:
    client = town.keys.client(SAFE_HOUSE)
    answers = await asyncio.gather(
        *(town.post(SAFE_HOUSE, "/referrals", town.body(SAFE_HOUSE, client_id=client)) for _ in range(4))
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    refused = next(answer for answer in answers if answer.status_code == 409)
    is_problem(refused, 409, "client-already-used", "members.0.client_id")
    await town.refer(client_id=(client := town.keys.client(OUTREACH)))
    await town.refer(client_id=client)  # of any other organization a client may be in many


async def test_one_key_one_referral(town: Town) -> None:
    body = town.body()
    answers = await asyncio.gather(*(town.post(OUTREACH, "/referrals", body, key="k1") for _ in range(3)))
    assert {answer.status_code for answer in answers} == {201}
    (referral,) = {answer.json()["id"] for answer in answers}
    await town.wait_events(referral, 1)
    other = await town.post(OUTREACH, "/referrals", town.body(), key="k1")
    is_problem(other, 422, "idempotency-key-reused", "Idempotency-Key")
    assert (await town.move(OUTREACH, referral, "cancelled")).json() == {"id": referral, "status": "cancelled"}


async def test_without_consent_nothing_is_taken_and_the_key_may_be_used_again(town: Town) -> None:
    body = town.body()
    town.keys.down = True
    is_problem(await town.post(OUTREACH, "/referrals", body, key="k2"), 503, "dependency-down")
    town.keys.down = False
    assert (await town.post(OUTREACH, "/referrals", body, key="k2")).status_code == 201


async def test_what_was_registered_a_moment_ago_is_known(town: Town) -> None:
    organization = {"id": "newcomer", "name": "Newcomer", "kind": "coordinator"}
    await town.register(**organization)
    await town.refer(to={"organization": "newcomer", "project": "project-newcomer"})


async def test_lists_are_paged_and_filtered(town: Town) -> None:
    made = [await town.refer() for _ in range(3)]
    assert (await town.move(OUTREACH, made[0], "cancelled")).status_code == 200
    found: list[str] = []
    after: dict[str, str] = {}
    while True:
        answer: httpx.Response = await town.get(OUTREACH, "/referrals", status="requested", limit="2", **after)
        page = answer.json()
        found += [item["id"] for item in page["items"]]
        assert {item["status"] for item in page["items"]} == {"requested"}
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert set(made[1:]) <= set(found)
    assert made[0] not in found
    assert len(found) == len(set(found))
    is_problem(await town.get(OUTREACH, "/referrals", status="unknown"), 422, "invalid-parameter", "status")


async def test_history_is_marked_in_every_event(town: Town) -> None:
    referral = await town.refer(historical=True, occurred_at="2025-01-02T03:04:05-05:00")
    is_problem(await town.move(SHELTER, referral, "accepted"), 404, "not-found")
    accepted = await town.post(SHELTER, f"/referrals/{referral}/transitions", {"to": "accepted"}, scopes=BACKFILL)
    assert accepted.json() == {"id": referral, "status": "accepted"}
    requested, moved = await town.wait_events(referral, 2)
    assert (requested.data.historical, moved.data.historical) == (True, True)
    assert requested.data.occurred_at == "2025-01-02T08:04:05.000000Z"
    assert (await town.own_view(referral))["status"] == "accepted"
    is_problem(await town.get(SHELTER, f"/referrals/{referral}"), 404, "not-found")


async def test_neither_tables_nor_logs_hold_what_was_said(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    client = town.keys.client(OUTREACH)
    said: Body = {"identity": {"first_name": CANARY, "last_name": CANARY}, "notes": {"text": CANARY}}
    referral = await town.refer(members=[town.member(client, **said)])
    more = {"client_id": client, "segments": {"contact": {"city": CANARY}}}
    assert (await town.post(OUTREACH, f"/referrals/{referral}/segments", more, key=CANARY)).status_code == 200
    (event, _) = await town.wait_events(referral, 2)
    assert CANARY in str(town.opened(event))  # the search would have found it where it is not sealed
    rows = everything(town)
    assert client in rows
    assert CANARY not in rows
    printed = capsys.readouterr()
    assert CANARY not in printed.out + printed.err


def everything(town: Town) -> str:
    """Every row of every table, bytes as text."""
    with direct(town.settings.database_url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        rows = [
            connection.execute(psycopg.sql.SQL("SELECT * FROM {}").format(psycopg.sql.Identifier(str(name)))).fetchall()
            for (name,) in tables
        ]
    return "".join(
        str(cell) if not isinstance(cell, bytes) else cell.decode(errors="replace")
        for table in rows
        for row in table
        for cell in row
    )


async def test_migrations_make_the_tables_of_the_code(town: Town) -> None:
    engine = create_engine(town.settings.database_url.get_secret_value())
    with engine.connect() as connection:
        differences = compare_metadata(
            MigrationContext.configure(
                connection, opts={"include_name": lambda name, kind, _: kind != "table" or name not in KIT_TABLES}
            ),
            METADATA,
        )
    engine.dispose()
    assert [each for each in differences if each[0] != "remove_index"] == []
