"""A client's code: who may make, use and end it, what it opens, and how much may be guessed."""

import asyncio
import logging
import re
import runpy
import time
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from msgspec.structs import replace

from schemas.records import OrganizationChanged
from services.consent.client_codes import WRONG_CODES
from services.consent.codes import grouped, heard
from tests.conftest import Databases
from tests.support.client_codes import MISSPELLED, WRONG, code_of, link, unknown
from tests.support.control_records import ANNEX, BYSTANDER, OUTREACH, SAFE_HOUSE, SHELTER
from tests.support.governance import is_problem
from tests.support.registry import Registry, assert_names, founded
from tests.support.tree import ROOT

pytestmark = pytest.mark.asyncio(loop_scope="module")

AT_ONCE = 7  # guesses at each of two processes: together more than may be wrong, each fewer than it has connections


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def registry(postgres: Databases) -> AsyncIterator[Registry]:
    async with founded(postgres) as found:
        yield found


@pytest.fixture(autouse=True)
def nobody_has_guessed(registry: Registry) -> None:
    with registry.database() as connection:
        connection.execute("DELETE FROM code_guesses")


async def end(registry: Registry, client: str, organization: str) -> httpx.Response:
    return await registry.http.delete(f"/clients/{client}/code", headers=registry.headers(organization))


async def test_whoever_carries_the_code_is_the_same_client_elsewhere(registry: Registry) -> None:
    client = await registry.client()
    code = await code_of(registry, client)
    registered = await registry.post(SHELTER, "/clients", {})
    for typed in (code, code.lower(), code.replace("-", " "), f" {heard(code)} ".replace("0", "o").replace("1", "l")):
        linked = await link(registry, typed, actor={"id": "staff-7", "role": "desk"})
        assert (linked.status_code, linked.json()) == (201, {"client_id": client})
        assert linked.json().keys() == registered.json().keys()
    with registry.database() as connection:
        noted = connection.execute(
            "SELECT organization, actor_id, actor_role, linked_at > now() - interval '1 minute' FROM client_links"
            " WHERE client_id = %s",
            [client],
        ).fetchall()
    assert noted == [(SHELTER, "staff-7", "desk", True)] * 4


async def test_a_link_opens_nothing_and_lets_an_organization_do_what_registering_does(registry: Registry) -> None:
    client = await registry.client()
    theirs = await registry.permit(client, to=[ANNEX])
    await registry.revoke(client, scope="recipient", recipient=ANNEX)
    await link(registry, await code_of(registry, client))
    assert (await registry.get(SHELTER, "/consents", client_id=client)).json()["items"] == []
    for path in (f"/consents/{theirs['id']}", f"/consents/{theirs['id']}/revocation", f"/clients/{client}/revocation"):
        assert (await registry.get(SHELTER, path)).status_code == 404
    own = await registry.permit(client, SHELTER, to=[ANNEX])
    assert own["recorded_by"] == SHELTER
    assert (await registry.public_key(client, SHELTER, recipient=ANNEX)).status_code == 200
    assert (await registry.revoke(client, SHELTER))["scope"] == "all", "it may narrow"
    assert (await registry.get(OUTREACH, "/consents", client_id=client)).json()["items"] != []


async def test_a_new_code_takes_the_place_of_the_old_and_any_desk_that_knows_the_client_ends_it(
    registry: Registry,
) -> None:
    client = await registry.client()
    old = await code_of(registry, client)
    new = await code_of(registry, client)
    await unknown(registry, old)
    assert (await link(registry, new)).status_code == 201
    is_problem(await end(registry, client, BYSTANDER), 404, "not-found")
    assert (await link(registry, new)).status_code == 201
    assert [(await end(registry, client, SHELTER)).status_code for _ in range(2)] == [204, 204]
    await unknown(registry, new, ANNEX)
    assert (await registry.post(SHELTER, f"/clients/{client}/code")).status_code == 201, "who linked registered it"


async def test_wrong_ended_and_misspelled_codes_are_one_and_the_same(registry: Registry) -> None:
    client = await registry.client()
    expired, ended = await code_of(registry, client), await code_of(registry, await registry.client())
    with registry.database() as connection:
        connection.execute("UPDATE client_codes SET expires_at = now() WHERE client_id = %s", [client])
        connection.execute("DELETE FROM client_codes WHERE client_id <> %s", [client])
    answers = {await unknown(registry, code) for code in (WRONG, MISSPELLED, expired, ended, "?", "Ñandú", "0" * 40)}
    assert len(answers) == 1
    for body, field in (
        ({}, "code"),
        ({"code": ""}, "code"),
        ({"code": "0" * 41}, "code"),
        ({"code": 7}, "code"),
        ({"code": WRONG, "last_name": "Rosa"}, "last_name"),
    ):
        assert_names(await registry.post(SHELTER, "/clients/code-links", body), field)


async def test_a_code_is_good_for_as_long_as_is_set(registry: Registry) -> None:
    client = await registry.client()
    await code_of(registry, client)
    with registry.database() as connection:
        days = connection.execute(
            "SELECT extract(day FROM expires_at - made_at)::int FROM client_codes WHERE client_id = %s", [client]
        ).fetchone()
    assert days == (registry.settings.client_code_days,) == (90,)


async def test_a_code_is_for_who_registered_the_client(registry: Registry) -> None:
    stranger = await registry.post(SHELTER, f"/clients/{(client := await registry.client())}/code")
    nobody = await registry.post(SHELTER, f"/clients/{'0' * 32}/code")
    is_problem(stranger, 404, "not-found")
    assert stranger.content == nobody.content
    with registry.database() as connection:
        connection.execute("INSERT INTO registrations VALUES (%s, %s, 'given')", [client, SHELTER])
    assert (await registry.post(SHELTER, f"/clients/{client}/code")).content == nobody.content


async def test_who_was_brought_by_a_permit_gets_no_code_and_that_tells_nothing_of_where_from(
    registry: Registry,
) -> None:
    answers, client = [], await registry.client()
    for each in (await registry.client(SAFE_HOUSE), client):
        with registry.database() as connection:
            connection.execute("INSERT INTO registrations VALUES (%s, %s, 'given')", [each, SHELTER])
        await registry.post(SHELTER, f"/clients/{each}/registration")
        answers.append(await registry.post(SHELTER, f"/clients/{each}/code"))
    is_problem(answers[0], 409, "no-client-code")
    assert answers[0].json() == answers[1].json()
    await registry.post(OUTREACH, f"/clients/{client}/registration")  # its own already: nothing changes
    await code_of(registry, client)


async def test_a_victim_service_provider_and_its_clients_have_no_codes(registry: Registry) -> None:
    survivor, client = await registry.client(SAFE_HOUSE), await registry.client()
    code = await code_of(registry, client)
    is_problem(await registry.post(SAFE_HOUSE, f"/clients/{survivor}/code"), 422, "victim-service-provider")
    for typed in (code, WRONG):
        is_problem(await link(registry, typed, SAFE_HOUSE), 422, "victim-service-provider")
    with registry.database() as connection:  # as if a permit had given each to the other, who registered it
        connection.execute("INSERT INTO registrations VALUES (%s, %s, 'registered')", [survivor, SHELTER])
        connection.execute("INSERT INTO registrations VALUES (%s, %s, 'registered')", [client, SAFE_HOUSE])
        connection.execute("INSERT INTO registrations VALUES (%s, %s, 'registered')", [client, ANNEX])
        connection.execute("UPDATE clients SET origin = '' WHERE id = %s", [(unnoted := await registry.client())])
    is_problem(await registry.post(SHELTER, f"/clients/{survivor}/code"), 409, "no-client-code")
    is_problem(await registry.post(OUTREACH, f"/clients/{unnoted}/code"), 409, "no-client-code")
    assert (await registry.post(ANNEX, f"/clients/{client}/code")).status_code == 201, "or it would tell who else knows"


async def test_a_code_of_an_organization_that_becomes_a_victim_service_provider_leads_nowhere(
    registry: Registry,
) -> None:
    await registry.control(organization(registry, "turning", survivors=False))
    code = await code_of(registry, await registry.client("turning"), "turning")
    assert (await link(registry, code)).status_code == 201
    await registry.control(organization(registry, "turning", survivors=True))
    await unknown(registry, code)


async def test_a_code_leads_no_test_organization_to_a_real_client_nor_a_real_one_to_a_tests(registry: Registry) -> None:
    await registry.control(organization(registry, "tester", test=True))
    await registry.control(organization(registry, "another-tester", test=True))
    real = await code_of(registry, await registry.client())
    of_a_test = await code_of(registry, await registry.client("tester"), "tester")
    is_problem(await link(registry, real, "tester"), 404, "unknown-code", "code")
    is_problem(await link(registry, of_a_test, SHELTER), 404, "unknown-code", "code")
    assert (await link(registry, of_a_test, "another-tester")).status_code == 201
    assert (await link(registry, real, SHELTER)).status_code == 201


def organization(registry: Registry, name: str, *, survivors: bool = False, test: bool = False) -> OrganizationChanged:
    said = registry.says.organization(name)
    changed = replace(said.data.organization, victim_service_provider=survivors, test=test)
    return replace(said, data=replace(said.data, organization=changed))


async def test_wrong_codes_are_counted_for_each_organization_and_right_ones_are_not(registry: Registry) -> None:
    code = await code_of(registry, await registry.client())
    for _ in range(WRONG_CODES - 1):
        await unknown(registry, WRONG)
    for _ in range(WRONG_CODES):
        assert (await link(registry, code)).status_code == 201
    await unknown(registry, WRONG)
    for typed in (code, WRONG):
        refused = await link(registry, typed)
        is_problem(refused, 429, "too-many-guesses")
        assert 590 < int(refused.headers["retry-after"]) <= 600
    assert (await link(registry, code, ANNEX)).status_code == 201
    with registry.database() as connection:
        connection.execute(
            "UPDATE code_guesses SET guessed_at = guessed_at - interval '10 minutes' WHERE id IN"
            " (SELECT id FROM code_guesses WHERE organization = %s LIMIT 1)",
            [SHELTER],
        )
    assert (await link(registry, code)).status_code == 201
    await unknown(registry, WRONG)
    is_problem(await link(registry, code), 429, "too-many-guesses")


async def test_guesses_at_once_at_two_processes_are_bounded_together(registry: Registry) -> None:
    other = Registry(registry.community, registry.settings, registry.broker, registry.producer)
    async with other.serving():
        with registry.database() as connection, connection.transaction():
            connection.execute("LOCK TABLE code_guesses IN SHARE MODE")  # a guess may look, and cannot be counted
            guessing = [asyncio.create_task(link(each, WRONG)) for _ in range(AT_ONCE) for each in (registry, other)]
            await registry.waiting(len(guessing) + 1)  # the other process's relay waits for its turn, too
        answers = await asyncio.gather(*guessing)
    assert sorted(answer.status_code for answer in answers) == [404] * WRONG_CODES + [429] * (2 * AT_ONCE - WRONG_CODES)


async def test_codes_made_at_once_leave_one(registry: Registry) -> None:
    client = await registry.client()
    codes = await asyncio.gather(*(code_of(registry, client) for _ in range(5)))
    answers = [(await link(registry, code)).status_code for code in codes]
    assert sorted(answers) == [201, 404, 404, 404, 404]


async def test_a_card_to_print_is_made_where_the_code_is(registry: Registry) -> None:
    client = await registry.client()
    accepting = registry.headers(OUTREACH) | {"Accept": "text/html,application/xhtml+xml;q=0.9"}
    page = await registry.http.post(f"/clients/{client}/code?lang=es", headers=accepting)
    assert (page.status_code, page.headers["content-type"]) == (201, "text/html; charset=utf-8")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for name in (client, OUTREACH):
        assert name not in page.text
    (code,) = re.findall(r'class="code">([^<]+)<', page.text)
    assert (await link(registry, code)).json() == {"client_id": client}
    is_problem(await registry.http.post(f"/clients/{'0' * 32}/code", headers=accepting), 404, "not-found")
    unspoken = await registry.http.post(f"/clients/{client}/code?lang=fr", headers=accepting)
    is_problem(unspoken, 422, "invalid-parameter", "lang")


async def test_a_request_repeated_with_its_key_shows_no_code_again(registry: Registry) -> None:
    client = await registry.client()
    path, key = f"/clients/{client}/code", str(time.time_ns())
    first = await registry.post(OUTREACH, path, key=key)
    again = await registry.post(OUTREACH, path, key=key)
    assert again.json() == {"code": None, "expires_at": first.json()["expires_at"]}
    page = await registry.http.post(path, headers=registry.headers(OUTREACH, key=key) | {"Accept": "text/html"})
    is_problem(page, 409, "wrong-status")
    code = first.json()["code"]
    linked = [
        await registry.post(SHELTER, "/clients/code-links", {"code": code}, key=f"{key}{number}") for number in (1, 1)
    ]
    assert [answer.json() for answer in linked] == [{"client_id": client}] * 2
    with registry.database() as connection:
        assert connection.execute("SELECT count(*) FROM code_guesses").fetchone() == (0,)


async def test_no_code_stands_in_tables_metrics_or_logs(
    registry: Registry, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    client = await registry.client()
    code = await code_of(registry, client)
    mistyped = grouped(heard(code)[:-1] + ("0" if code[-1] != "0" else "1"))
    await registry.post(SHELTER, "/clients/code-links", {"code": code}, key=str(time.time_ns()))
    await registry.post(SHELTER, "/clients/code-links", {"code": mistyped}, key=str(time.time_ns()))
    written = [caplog.text, *capsys.readouterr(), (await registry.http.get("/metrics")).text]
    with registry.database() as connection:
        for (table,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall():
            rows = connection.execute(f"SELECT string_agg(t::text, ' ') FROM \"{table}\" t").fetchone()  # noqa: S608
            written.append(str(rows))
    for said in (code, mistyped):
        for spelling in (said, heard(said), said.encode().hex(), heard(said).encode().hex()):
            assert not any(spelling in text for text in written)
    assert any(client in text for text in written), "then the search above finds what is there"


async def test_the_migration_notes_an_origin_where_there_is_one(registry: Registry) -> None:
    migration = runpy.run_path(str(ROOT / "services/consent/migrations/versions/0003_client_codes.py"))
    one, several = await registry.client(), await registry.client()
    await link(registry, await code_of(registry, several))
    with registry.database() as connection, connection.transaction(force_rollback=True):
        connection.execute("INSERT INTO registrations VALUES (%s, %s, 'given')", [one, SHELTER])
        connection.execute("UPDATE clients SET origin = ''")
        connection.execute(migration["ORIGIN"])
        found = dict(connection.execute("SELECT id, origin FROM clients").fetchall())
    assert (found[one], found[several]) == (OUTREACH, "")
