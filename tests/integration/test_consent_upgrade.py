"""An upgrade of consent: what is to be said of consents' ends from before is looked at once, by their own words."""

import json

from alembic import command
from pydantic import SecretStr
from sqlalchemy import create_engine, text

from services.kit.database import CONNECT_ARGUMENTS, _configuration
from tests.conftest import Databases

CLIENT = (
    "INSERT INTO clients (id, key_id, suite, public_key, private_key, last_order, consents, origin)"
    " VALUES ('client', 'key', 'x25519', '', '', 3, '', 'registered')"
)
CONSENT = (
    'INSERT INTO consents (id, client_id, recorder, decision, "order", record, recorded_at)'
    " VALUES (:id, 'client', 'outreach', :decision, 1, :record, now())"
)
# id, decision, end
ROWS = (
    ("over", "permit", "2020-01-01T00:00:00Z"),
    ("endless", "permit", None),
    ("refusal", "refuse", "2999-01-01T00:00:00Z"),
    ("to come", "permit", "2999-01-01T00:00:00Z"),
)


def test_of_consents_from_before_those_that_end_are_looked_at_at_once(postgres: Databases) -> None:
    url = SecretStr(postgres.create_database("consent"))
    engine = create_engine(url.get_secret_value(), connect_args=CONNECT_ARGUMENTS)
    with engine.begin() as connection:
        command.upgrade(_configuration("consent", connection), "0006")
        connection.execute(text(CLIENT))
        for id_, decision, end in ROWS:
            record = json.dumps({"id": id_, "expires_at": end}).encode()
            connection.execute(text(CONSENT), {"id": id_, "decision": decision, "record": record})
        command.upgrade(_configuration("consent", connection), "head")
        due = "SELECT id, due_at <= now() FROM consents WHERE due_at IS NOT NULL"
        assert connection.execute(text(due)).fetchall() == [("to come", True)]
    engine.dispose()
