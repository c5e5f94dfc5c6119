"""Which consents a decision rests on, and which of them ended."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    # Of what was decided before, no table has it.
    op.add_column("decisions", sa.Column("consents", JSONB, nullable=False, server_default="[]"))
    op.create_table(
        "consents_ended",
        sa.Column("consent_id", sa.Text, primary_key=True),
        sa.Column("order", sa.BigInteger, primary_key=True),
        sa.Column("client_id", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("source_offset", sa.BigInteger, nullable=False),
        sa.Column("told", sa.Boolean, nullable=False),
    )
    op.create_index("ix_consents_ended_untold", "consents_ended", ["partition"], postgresql_where=sa.text("NOT told"))
