"""Yesterday's backup of shelter_beds: no bed gets two holders, nothing hidden shows, and what ended stays ended."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from services.kit.restored import RestoredError
from services.shelter_beds import restored
from services.shelter_beds.saying import HOLDS
from tests.conftest import Databases
from tests.support import backups
from tests.support.bed_holders import double_holders
from tests.support.kinds import TRIAL
from tests.support.shelter import OTHER, OUTREACH, SHELTER, Shelter, opened


@pytest_asyncio.fixture
async def shelter(postgres: Databases) -> AsyncIterator[Shelter]:
    async with opened(postgres.create_database("shelter_beds")) as found:
        yield found


async def test_yesterdays_beds_take_back_from_the_log_who_has_which_and_what_is_hidden(
    shelter: Shelter, tmp_path: Path
) -> None:
    async with shelter.serving():
        unit, hidden, gone, asked = [await shelter.unit(3, name=name) for name in ("rooms", "hidden", "gone", "asked")]
        assert (await shelter.patch(SHELTER, f"/units/{asked}", hold_policy="request")).status_code == 200
        ended, stays, comes = [await shelter.hold(unit, minutes=60) for _ in range(3)]
        await shelter.all_said()
        backup = backups.save(shelter.settings.database_url, tmp_path / "yesterday")

        # Since then: a hold ended and another has its bed; one was extended, one came in; units changed and were made.
        assert (await shelter.let_go(OUTREACH, ended["id"])).status_code == 200
        new = await shelter.hold(unit, OTHER, minutes=60)
        assert new["bed_ids"] == ended["bed_ids"]
        assert (await shelter.post(OUTREACH, f"/holds/{stays['id']}/extension")).status_code == 200
        said = {"door_code": comes["door_code"]}
        assert (await shelter.post(SHELTER, f"/holds/{comes['id']}/check-in", said)).status_code == 200
        hiding = {"confidential": True, "shown": "yes_no", "hold_policy": "request", "phone": "555 0100"}
        assert (await shelter.patch(SHELTER, f"/units/{hidden}", **hiding)).status_code == 200
        assert (await shelter.patch(SHELTER, f"/units/{gone}", withdrawn=True)).status_code == 200
        request = await shelter.hold(asked, OTHER, minutes=60)
        unknown = await shelter.unit(2, name="made since")
        lost = await shelter.hold(unknown, OTHER, minutes=60)
        before = await shelter.values(HOLDS)
        last = (await shelter.said_of(unit))[-1]

    backups.restore(shelter.settings.database_url, backup)
    with pytest.raises(RestoredError, match="threshold restored shelter_beds"):
        async with shelter.serving():
            raise AssertionError("it started on tables that are older than the log")
    print(await restored.declared(shelter.bootstrap, shelter.settings.database_url))

    async with shelter.serving():
        assert await shelter.state_of(ended["id"]) == ("released", "cancelled")
        assert await shelter.state_of(comes["id"]) == ("checked_in", None)
        seen = (await shelter.get(OUTREACH, f"/holds/{stays['id']}")).json()
        assert (seen["state"], seen["extended"], seen["door_code"]) == ("placed", True, stays["door_code"])
        assert (await shelter.get(OTHER, f"/holds/{request['id']}")).json()["state"] == "requested"
        made_again = (await shelter.get(OTHER, f"/holds/{new['id']}")).json()
        assert made_again["bed_ids"] == ended["bed_ids"]
        assert made_again["expires_at"] == new["expires_at"]
        assert await shelter.counts(unit) == (0, 2, 1, 0)
        full = await shelter.post(OUTREACH, "/holds", {"unit_id": unit, "minutes": 30})
        assert (full.status_code, full.json()["type"]) == (409, "/problems/no-free-bed")
        listed = (await shelter.get(OUTREACH, "/availability", limit="200")).json()["items"]
        assert {each["unit_id"] for each in listed} == {unit, hidden, asked}
        [secret] = [each for each in listed if each["unit_id"] == hidden]
        assert (secret["confidential"], secret.get("project"), secret.get("available")) == (True, None, None)

        # Life goes on where the log ends: the bed is free again, and the next one has it.
        said = {"door_code": made_again["door_code"]}
        assert (await shelter.post(SHELTER, f"/holds/{new['id']}/check-in", said)).status_code == 200
        assert (await shelter.let_go(OUTREACH, stays["id"])).status_code == 200
        again = await shelter.hold(unit, OTHER)
        assert again["bed_ids"] == stays["bed_ids"]
        assert await shelter.steps(lost["id"]) == [("hold.placed", None), ("hold.released", "cancelled")]
        assert (await shelter.said_of(unknown))[-1].withdrawn
        values = await shelter.values(HOLDS)
        assert double_holders(values) == []
        assert len(values) > len(before)
        versions = [each.version for each in await shelter.said_of(unit)]
        assert versions == sorted(set(versions)), "each version once, and none before its turn"
        assert max(versions) > last.version
        assert all(each.confidential for each in (await shelter.said_of(hidden))[-2:])
    async with shelter.serving():
        assert await shelter.counts(unit) == (0, 1, 2, 0)


async def test_a_backup_from_before_units_knew_it_takes_back_from_the_log_which_are_tests(
    shelter: Shelter, tmp_path: Path
) -> None:
    async with shelter.serving():
        unit, real = await shelter.unit(3, TRIAL), await shelter.unit(3)
        await shelter.all_said()
        backup = backups.save(shelter.settings.database_url, tmp_path / "yesterday")
    shelter.community.tests.add(TRIAL)
    async with shelter.serving():
        lost = await shelter.unit(2, TRIAL)
        await shelter.all_said()
    backups.restore(shelter.settings.database_url, backup)
    shelter.community.tests.clear()  # so that nobody says it but the log
    print(await restored.declared(shelter.bootstrap, shelter.settings.database_url))
    async with shelter.serving():
        assert dict(shelter.sql("SELECT id, test FROM units")) == {unit: True, real: False}
        assert [each.test for each in await shelter.said_of(unit)] == [False, True, True]
        assert [(each.test, each.withdrawn) for each in await shelter.said_of(lost)] == [(True, False), (True, True)]
        assert {each["unit_id"] for each in (await shelter.get(OUTREACH, "/availability")).json()["items"]} == {real}
