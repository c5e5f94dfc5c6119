"""Parties leave agreements, and agreements take the place of others."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"

WITH_ZONE = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("agreements", sa.Column("supersedes", sa.Text, sa.ForeignKey("agreements.id")))
    op.add_column("agreements", sa.Column("superseded_by", sa.Text, sa.ForeignKey("agreements.id")))
    op.add_column("agreements", sa.Column("superseded_at", WITH_ZONE))
    op.create_table(
        "departures",
        sa.Column("agreement", sa.Text, sa.ForeignKey("agreements.id"), primary_key=True),
        sa.Column("organization", sa.Text, sa.ForeignKey("organizations.id"), primary_key=True),
        sa.Column("client_id", sa.Text, nullable=False),
        sa.Column("actor", postgresql.JSONB),
        sa.Column("requested_at", WITH_ZONE, nullable=False),
        sa.Column("effective_at", WITH_ZONE),
    )
