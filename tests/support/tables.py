"""The kit's tables in a test's database, and one table that shows what a reader did."""

from typing import Any

import psycopg
from alembic.migration import MigrationContext
from alembic.operations import Operations
from pydantic import SecretStr
from sqlalchemy import create_engine, make_url, pool, text

from services.kit.outbox import create_outbox
from services.kit.progress import create_positions

APPLIED = "CREATE TABLE applied (id bigserial, partition int, log_offset bigint, value bytea)"


def create_tables(url: SecretStr) -> None:
    """Make outbox, positions, and applied (partition, log_offset, value): nothing in it is unique."""
    engine = create_engine(url.get_secret_value(), poolclass=pool.NullPool)
    with engine.begin() as connection:
        operations = Operations(MigrationContext.configure(connection))
        create_outbox(operations)
        create_positions(operations)
        connection.execute(text(APPLIED))


def direct(url: SecretStr) -> psycopg.Connection[tuple[Any, ...]]:
    """Connect as the service does, for looking at its rows from outside."""
    conninfo = make_url(url.get_secret_value()).set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(conninfo, autocommit=True)
