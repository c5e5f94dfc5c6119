"""What a start takes back from the log where governance's tables have lost some of it, and what it ends there."""

import json
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from psycopg import sql

from services.governance import records, restating
from services.governance.restored import declared, take_back
from services.kit.control import ControlView
from services.kit.restored import RunningError
from tests.conftest import Databases
from tests.support.doubted import MORE_PARTIES, PARTIES, TERM, House, opened
from tests.support.log import PARTITIONS
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.asyncio(loop_scope="module")

OF_AN_AGREEMENT = {"agreements": "id", "approvals": "agreement", "departures": "agreement"}
Lost = list[tuple[str, Any]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(postgres: Databases) -> AsyncIterator[House]:
    async with opened(postgres.create_database("governance")) as found:
        yield found


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """How seldom it restates has a test of its own."""
    monkeypatch.setattr(restating, "AT_MOST_EVERY", timedelta(0))
    monkeypatch.setattr(restating, "TRY_AGAIN_AFTER", 0.1)


async def start(house: House) -> None:
    """Do what a start does before anything is served."""
    view = ControlView(house.settings.root_fingerprint, PARTITIONS)
    for partition in range(PARTITIONS):
        for one in await house.records(partition):
            view._partitions[partition].read(one.timestamp_ms, one.key, one.headers, one.value)
            view.positions[partition] = one.offset + 1
    view.confirm(time.monotonic())
    await take_back(house.app.state.database, view)


def taken_out(house: House, agreement: str) -> Lost:
    """Let the tables be those of before an agreement; return what they had of it."""
    lost: Lost = []
    with house.database() as connection:
        for table, column in reversed(OF_AN_AGREEMENT.items()):
            names = {"table": sql.Identifier(table), "column": sql.Identifier(column)}
            query = sql.SQL("DELETE FROM {table} WHERE {column} = %s RETURNING to_jsonb({table})").format(**names)
            lost += [(table, row) for (row,) in connection.execute(query, [agreement])]
    return lost


def put_in(house: House, lost: Lost) -> None:
    """Restore a newer backup, which has it."""
    with house.database() as connection:
        for table, row in reversed(lost):
            query = sql.SQL("INSERT INTO {0} SELECT * FROM jsonb_populate_record(NULL::{0}, %s)")
            connection.execute(query.format(sql.Identifier(table)), [json.dumps(row)])
        connection.execute("UPDATE log_identity SET floor = 0")


def be_behind(house: House, statement: str = "") -> None:
    """Lose the newest record of an organization, and what a statement loses."""
    with house.database() as connection:
        connection.execute("UPDATE log_identity SET floor = 0")
        connection.execute("UPDATE organizations SET last_order = 0 WHERE id = 'outreach'")
        if statement:
            connection.execute(statement.encode())


def rows(house: House, query: str, *values: str) -> list[tuple[Any, ...]]:
    with house.database() as connection:
        return connection.execute(query.encode(), values).fetchall()


async def ended(house: House, agreement: str) -> None:
    async def everywhere() -> bool:
        return all([agreement in (await house.control(partition)).ended for partition in range(PARTITIONS)])

    await wait_until_async(everywhere, what="the agreement to be ended on every partition")


async def test_what_the_tables_have_lost_no_newer_backup_brings_back_into_force(house: House) -> None:
    made = await house.agreed()
    lost = taken_out(house, made)
    await start(house)
    await ended(house, made)
    put_in(house, lost)
    await start(house)
    await house.plant("control/rubbish", b"rubbish")
    assert made not in (await house.restated()).agreements
    [(step,)] = rows(house, "SELECT step FROM agreements WHERE id = %s", made)
    assert step in {"suspending", "suspended"}


async def test_what_the_tables_have_as_a_draft_is_ended_too(house: House) -> None:
    made = await house.agreed()
    be_behind(house, f"UPDATE agreements SET step = 'draft', decided_at = NULL, last_order = 0 WHERE id = '{made}'")  # noqa: S608
    await start(house)
    await ended(house, made)
    assert made not in (await house.restated()).agreements
    [(step,)] = rows(house, "SELECT step FROM agreements WHERE id = %s", made)
    assert step in {"suspending", "suspended"}


async def test_a_party_that_left_a_draft_is_not_in_it_again(house: House) -> None:
    """Nothing of a draft is on the log: its approvals are given again, by whoever still wants it."""
    proposed = {"title": "Beds", "parties": PARTIES, "terms": [TERM]}
    draft = (await house.post("/agreements", proposed))["id"]
    in_force = await house.agreed()
    await house.post(f"/agreements/{draft}/approvals", {}, PARTIES[1])
    await house.post(f"/agreements/{draft}/departure", {}, PARTIES[1])
    be_behind(house, f"DELETE FROM departures WHERE agreement = '{draft}'")  # noqa: S608
    await start(house)
    answer = await house.post(f"/agreements/{draft}/approvals", {}, PARTIES[0])
    assert (answer["status"], [one["organization"] for one in answer["approvals"]]) == ("draft", [PARTIES[0]])
    assert len(rows(house, "SELECT FROM approvals WHERE agreement = %s", in_force)) == len(PARTIES)


async def test_a_restatement_that_does_not_fit_leaves_the_tables_behind_and_each_start_says_so(
    house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = await house.agreed(MORE_PARTIES)
    late = f"DELETE FROM approvals WHERE agreement = '{made}' AND organization = '{MORE_PARTIES[2]}'"  # noqa: S608
    be_behind(house, late)
    with house.database() as connection:
        connection.execute("UPDATE agreements SET last_order = 1 WHERE id = %s", [made])
    before = rows(house, "SELECT * FROM log_identity")
    with monkeypatch.context() as full:
        full.setattr(records, "ROOM_FOR_SIGNING", 1 << 30)
        for _ in range(2):
            await start(house)
    assert rows(house, "SELECT * FROM log_identity") == before
    said = [line for line in capsys.readouterr().out.splitlines() if "does not fit one record" in line]
    assert len(said) == 2
    await start(house)
    assert set((await house.restated()).agreements[made].parties) == set(PARTIES)


async def test_what_was_restored_is_not_declared_while_governance_runs(house: House) -> None:
    draft = (await house.post("/agreements", {"title": "Beds", "parties": PARTIES, "terms": [TERM]}))["id"]
    await house.post(f"/agreements/{draft}/approvals", {}, PARTIES[1])
    with pytest.raises(RunningError):
        await declared(house.settings.kafka, house.settings.database_url)
    assert len(rows(house, "SELECT FROM approvals WHERE agreement = %s", draft)) == 1


async def test_an_agreement_of_test_and_real_parties_is_not_restated_though_only_one_kind_is_left(house: House) -> None:
    """Restated without who left it, it would look as if it had never been mixed."""
    made, other = await house.agreed(MORE_PARTIES), await house.agreed()
    await house.post(f"/agreements/{made}/departure", {}, MORE_PARTIES[2])
    with house.database() as connection:  # from before it was refused
        connection.execute("UPDATE organizations SET test = true WHERE id = %s", [MORE_PARTIES[2]])
    await house.plant("control/rubbish", b"rubbish")
    after = await house.restated()
    assert made not in after.agreements
    assert other in after.agreements


async def test_a_start_that_distrusts_credentials_says_which(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    body = {"name": "Canary", "scopes": ["agreements:approve"]}
    made = await house.post("/organizations/outreach/credentials", body)
    be_behind(house)
    await start(house)
    [said] = [line for line in capsys.readouterr().out.splitlines() if "no credential counts" in line]
    assert made["client_id"] in json.loads(said)["credentials"]
    assert "Canary" not in said
