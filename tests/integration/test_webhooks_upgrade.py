"""An upgrade of webhooks keeps what its tables hold."""

from collections.abc import Iterator

import pytest
from alembic import command
from pydantic import SecretStr
from sqlalchemy import Connection, create_engine, text

from services.kit.database import CONNECT_ARGUMENTS, _configuration
from services.webhooks.told import encode, told_by
from tests.conftest import Databases
from tests.support.disclosing import Disclosing

ENDPOINT = (
    "INSERT INTO endpoints (id, organization, url, types, secret, enabled, created_at)"
    " VALUES ('desk', 'shelter', 'https://shelter.test', '{*}', '', true, now())"
)
DECISION = "INSERT INTO decisions (id, organization, told) VALUES (:id, :organization, :told) RETURNING number"
DELIVERY = (
    "INSERT INTO deliveries (id, decision, endpoint_id, webhook_id, state, due_at)"
    " VALUES (:id, :decision, 'desk', :id, 'delivered', now())"
)


@pytest.fixture
def connection(postgres: Databases) -> Iterator[Connection]:
    url = SecretStr(postgres.create_database("webhooks"))
    engine = create_engine(url.get_secret_value(), connect_args=CONNECT_ARGUMENTS)
    with engine.begin() as begun:
        yield begun
    engine.dispose()


def to(revision: str, connection: Connection) -> None:
    command.upgrade(_configuration("webhooks", connection), revision)


@pytest.mark.parametrize("revision", ["0001", "0002", "0003"])
def test_what_was_decided_is_found_by_its_referral_afterwards(connection: Connection, revision: str) -> None:
    town = Disclosing()
    shelter = town.organization("shelter")
    town.agree(town.organization("outreach"), shelter)
    made = [town.refer(town.client(), "outreach", shelter, {"identity": {"first_name": "Rosalind"}}) for _ in range(2)]
    told = [each for answer in town.answers for each in told_by(0, answer.value)]
    to(revision, connection)
    connection.execute(text(ENDPOINT))
    for each in told:
        row = {"id": each.id, "organization": each.party.organization, "told": encode(each)}
        number = connection.execute(text(DECISION), row).scalar_one()
        connection.execute(text(DELIVERY), {"id": each.id, "decision": number})
    to("head", connection)
    query = "SELECT referral_id, client_id, verdict FROM decisions ORDER BY number"
    found = [tuple(row) for row in connection.execute(text(query))]
    assert found == [(each.id, each.client_id, "deidentified") for each in made]


NOTICES = "INSERT INTO notices (id, type, body) SELECT 'n' || n, 'unit.availability', '' FROM generate_series(1, 4) n"
OF_UNITS = """
INSERT INTO endpoints (id, organization, url, types, secret, enabled, created_at)
  VALUES ('closed', 'shelter', 'https://shelter.test', '{*}', '', false, now());
INSERT INTO deliveries (id, notice, endpoint_id, webhook_id, unit_id, unit_version, state, due_at)
  SELECT name, number, endpoint, name, name, 7, state, now() FROM (VALUES
    ('n1', 'came', 'desk', 'delivered'), ('n2', 'comes', 'desk', 'pending'), ('n3', 'leaves', 'desk', 'sending'),
    ('n4', 'waits', 'closed', 'pending')) said(notice, name, endpoint, state) JOIN notices ON notices.id = notice;
"""


def test_of_units_only_what_is_still_to_be_sent_is_known_to_be_the_newest(connection: Connection) -> None:
    to("0004", connection)
    for statement in (ENDPOINT, NOTICES, OF_UNITS):
        connection.execute(text(statement))
    to("head", connection)
    found = connection.execute(text("SELECT unit_id, version FROM unit_versions ORDER BY unit_id"))
    assert [tuple(row) for row in found] == [("comes", 7), ("leaves", 7)]


def test_what_was_entered_in_error_before_is_known_afterwards(connection: Connection) -> None:
    town = Disclosing()
    town.agree(town.organization("outreach"), town.organization("shelter"))
    for kind in ("entered_in_error", "cancelled"):
        town.say(town.refer(town.client(), "outreach", "shelter", {"identity": {"first_name": "Rosalind"}}), kind)
    told = [each for answer in town.answers for each in told_by(0, answer.value)]
    to("0005", connection)
    before = (
        "INSERT INTO decisions (id, organization, referral_id, client_id, verdict, told)"
        " VALUES (:id, 'shelter', :referral, :client, :verdict, :told)"
    )
    for each in told:
        data = each.event.data
        row = {"referral": data.referral.id, "client": data.client_id, "verdict": each.verdict, "told": encode(each)}
        connection.execute(text(before), {"id": each.id} | row)
    to("head", connection)
    found = connection.execute(text("SELECT in_error FROM decisions ORDER BY number"))
    assert list(found.scalars()) == [False, True, False, False]
