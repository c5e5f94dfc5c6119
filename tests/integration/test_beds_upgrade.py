"""An upgrade of shelter_beds keeps what its tables hold, but for the beds that requests had taken."""

from alembic import command
from pydantic import SecretStr
from sqlalchemy import create_engine, text

from services.kit.database import CONNECT_ARGUMENTS, _configuration
from tests.conftest import Databases

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
