"""Endpoints, what organizations are told, its deliveries and their attempts."""

import sqlalchemy as sa
from alembic import op
from alembic.operations import Operations

from services.kit import idempotency
from services.kit.outbox import create_outbox
from services.kit.progress import create_positions

revision = "0001"
down_revision = None

WITH_ZONE = sa.DateTime(timezone=True)


def upgrade() -> None:
    _endpoints()
    _decisions()
    _deliveries()
    _attempts()
    op.create_table(idempotency.NAME, *idempotency.columns())
    operations = Operations(op.get_context())
    create_outbox(operations)
    create_positions(operations)


def _endpoints() -> None:
    op.create_table(
        "endpoints",
        sa.Column("number", sa.BigInteger, sa.Identity(always=True), nullable=False, unique=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("organization", sa.Text, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("types", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("secret", sa.LargeBinary, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("disabled_reason", sa.Text),
        sa.Column("failing", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("held_until", WITH_ZONE),
        sa.Column("created_at", WITH_ZONE, nullable=False),
        sa.Column("deleted_at", WITH_ZONE),
    )
    op.create_index("endpoints_organization", "endpoints", ["organization", "number"])


def _decisions() -> None:
    op.create_table(
        "decisions",
        sa.Column("number", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("organization", sa.Text, nullable=False),
        sa.Column("told", sa.LargeBinary, nullable=False),
        sa.Column("inbox_attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("inbox_withheld", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("created_at", WITH_ZONE, nullable=False, server_default=sa.func.now()),
    )
    op.create_index("decisions_inbox", "decisions", ["organization", "number"])


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("number", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("decision", sa.BigInteger, sa.ForeignKey("decisions.number"), nullable=False),
        sa.Column("endpoint_id", sa.Text, sa.ForeignKey("endpoints.id"), nullable=False),
        sa.Column("webhook_id", sa.Text, nullable=False),
        sa.Column("shown_type", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
        sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
        sa.Column("due_at", WITH_ZONE, nullable=False),
        sa.Column("lease_until", WITH_ZONE),
        sa.UniqueConstraint("decision", "endpoint_id"),
    )
    op.create_index(
        "deliveries_due", "deliveries", ["endpoint_id", "due_at"], postgresql_where=sa.text("state = 'pending'")
    )
    op.create_index("deliveries_leases", "deliveries", ["lease_until"], postgresql_where=sa.text("state = 'sending'"))
    op.create_index("deliveries_shown", "deliveries", ["endpoint_id", "number"])


def _attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("delivery", sa.BigInteger, sa.ForeignKey("deliveries.number"), primary_key=True),
        sa.Column("attempt", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("began_at", WITH_ZONE, nullable=False),
        sa.Column("milliseconds", sa.Integer, nullable=False),
        sa.Column("status_code", sa.Integer),
        sa.Column("error", sa.Text),
        sa.Column("is_shown", sa.Boolean, nullable=False),
    )
