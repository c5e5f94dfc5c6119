"""An upgrade of shelter_beds keeps what its tables hold, but for the beds that requests had taken.

And what nobody said before, it asks: which units are tests'.
"""

import pytest
from alembic import command
from pydantic import SecretStr
from sqlalchemy import create_engine, text

from services.kit.database import CONNECT_ARGUMENTS, _configuration
from services.shelter_beds.feed.filters import EVERYTHING_OF
from services.shelter_beds.feed.view import Availability
from tests.conftest import Databases
from tests.support.governance import is_problem
from tests.support.kinds import TRIAL
from tests.support.shelter import OUTREACH, Shelter, opened
from tests.support.tables import direct
from tests.support.waiting import wait_until_async

BEFORE = """
INSERT INTO units (id, organization, organization_name, project, project_type, profile, withdrawn, version, updated_at,
  last_reset_at, created_at)
  SELECT shown, 'shelter', 'Shelter', 'beds', 0, jsonb_build_object('shown', shown), false, 1, now(), now(), now()
  FROM unnest(ARRAY['counts', 'yes_no']) shown;
INSERT INTO holds (id, unit_id, organization, holder, beds, discreet, answered, bed_ids, door_code, minutes, state,
  extended, created_at, expires_at)
  SELECT unit || ' ' || state, unit, 'shelter', 'outreach', 1, false, false, jsonb_build_array(unit || ' ' || state),
    state, 30, state, false, now(), now() + interval '1 hour'
  FROM unnest(ARRAY['counts', 'yes_no']) unit, unnest(ARRAY['placed', 'requested']) state;
INSERT INTO beds (id, unit_id, label, place, status, hold_id, last_order)
  SELECT id, unit_id, '1', 1, 'held', id, 1 FROM holds;
"""


def test_a_request_has_no_bed_afterwards_and_a_hidden_unit_s_hold_tells_none(postgres: Databases) -> None:
    url = SecretStr(postgres.create_database("shelter_beds"))
    engine = create_engine(url.get_secret_value(), connect_args=CONNECT_ARGUMENTS)
    with engine.begin() as connection:
        command.upgrade(_configuration("shelter_beds", connection), "0001")
        connection.execute(text(BEFORE))
        command.upgrade(_configuration("shelter_beds", connection), "head")
        query = "SELECT id, jsonb_array_length(bed_ids), placed_at IS NULL, discreet FROM holds ORDER BY id"
        assert [tuple(row) for row in connection.execute(text(query))] == [
            ("counts placed", 1, False, False),
            ("counts requested", 0, True, False),
            ("yes_no placed", 1, False, True),
            ("yes_no requested", 0, True, True),
        ]
        query = "SELECT id FROM beds WHERE status = 'held' ORDER BY id"
        assert connection.execute(text(query)).scalars().all() == ["counts placed", "yes_no placed"]
    engine.dispose()


BEFORE_TESTS = "ALTER TABLE units DROP COLUMN test; UPDATE alembic_version SET version_num = '0003'"


@pytest.mark.asyncio
async def test_a_tests_unit_from_before_is_one_before_anybody_is_shown_anything(postgres: Databases) -> None:
    async with opened(postgres.create_database("shelter_beds")) as shelter:
        async with shelter.serving():
            trial, real = await shelter.unit(3, TRIAL), await shelter.unit(3)
            assert {trial, real} == await _shown(shelter, OUTREACH)
            await shelter.all_said()
        with direct(shelter.settings.database_url) as connection:
            connection.execute(BEFORE_TESTS)
        shelter.community.tests.add(TRIAL)
        async with shelter.serving():
            assert await _shown(shelter, OUTREACH) == {real}
            assert await _shown(shelter, TRIAL) == {trial}
            refused = await shelter.post(OUTREACH, "/holds", {"unit_id": trial, "minutes": 30})
            is_problem(refused, 404, "not-found")
            assert [each.test for each in await shelter.said_of(trial)] == [False, True]
            view: Availability = shelter.app.state.availability
            await wait_until_async(lambda: view.get(trial, EVERYTHING_OF[True]), what="the feed to know it too")
            assert view.get(trial) is None
            [_, changed] = (await shelter.get(TRIAL, f"/units/{trial}/changes")).json()["items"]
            assert (changed["what"], changed["organization"], changed["details"]) == ("changed", None, {"test": True})
        async with shelter.serving():
            assert [len(await shelter.said_of(unit)) for unit in (trial, real)] == [2, 1], "once, and no real one"


async def _shown(shelter: Shelter, organization: str) -> set[str]:
    return {each["unit_id"] for each in (await shelter.get(organization, "/availability")).json()["items"]}
