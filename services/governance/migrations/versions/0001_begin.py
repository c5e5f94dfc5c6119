"""Organizations, credentials, identifier systems, agreements, and their way to the log."""

import sqlalchemy as sa
from alembic import op
from alembic.operations import Operations
from sqlalchemy.dialects import postgresql

from services.kit import idempotency
from services.kit.outbox import create_outbox

revision = "0001"
down_revision = None

WITH_ZONE = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table("log_identity", sa.Column("log_id", sa.Text, primary_key=True))
    _directory()
    _credentials()
    _agreements()
    op.create_table(
        "record_positions",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("next", sa.BigInteger, nullable=False),
    )
    op.create_table(idempotency.NAME, *idempotency.columns())
    create_outbox(Operations(op.get_context()))


def _directory() -> None:
    op.create_table(
        "organizations",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("victim_service_provider", sa.Boolean, nullable=False),
        sa.Column("hipaa_covered", sa.Boolean, nullable=False),
        sa.Column("test", sa.Boolean, nullable=False),
        sa.Column("last_order", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "projects",
        sa.Column("organization", sa.Text, sa.ForeignKey("organizations.id"), primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("project_type", sa.Integer, nullable=False),
        sa.Column("part2_program", sa.Boolean, nullable=False),
        sa.Column("hmis_participation", sa.Text, nullable=False),
        sa.Column("confidential", sa.Boolean, nullable=False),
    )
    op.create_table(
        "contacts",
        sa.Column("organization", sa.Text, sa.ForeignKey("organizations.id"), primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("phone", sa.Text),
        sa.Column("email", sa.Text),
        sa.Column("languages", sa.ARRAY(sa.Text), nullable=False),
    )
    op.create_table(
        "identifier_systems",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("organizations", sa.ARRAY(sa.Text), nullable=False),
    )


def _credentials() -> None:
    op.create_table(
        "credentials",
        sa.Column("client_id", sa.Text, primary_key=True),
        sa.Column("organization", sa.Text, sa.ForeignKey("organizations.id"), nullable=False, index=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary, nullable=False),
        sa.Column("created_at", WITH_ZONE, nullable=False),
        sa.Column("revoked_at", WITH_ZONE),
    )


def _agreements() -> None:
    op.create_table(
        "agreements",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("parties", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("content", postgresql.JSONB, nullable=False),
        sa.Column("step", sa.Text, nullable=False),
        sa.Column("created_at", WITH_ZONE, nullable=False),
        sa.Column("decided_at", WITH_ZONE),
        sa.Column("suspension_requested_at", WITH_ZONE),
        sa.Column("suspended_at", WITH_ZONE),
        sa.Column("last_order", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "approvals",
        sa.Column("agreement", sa.Text, sa.ForeignKey("agreements.id"), primary_key=True),
        sa.Column("organization", sa.Text, sa.ForeignKey("organizations.id"), primary_key=True),
        sa.Column("client_id", sa.Text, nullable=False),
        sa.Column("actor", postgresql.JSONB),
        sa.Column("approved_at", WITH_ZONE, nullable=False),
    )
