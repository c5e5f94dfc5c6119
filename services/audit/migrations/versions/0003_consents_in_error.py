"""Consents that were entered in error, as the log says."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "consents_in_error",
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("source_offset", sa.BigInteger, primary_key=True),
        sa.Column("consent_id", sa.Text, nullable=False, index=True),
        sa.Column("at", sa.DateTime(timezone=True)),
    )
