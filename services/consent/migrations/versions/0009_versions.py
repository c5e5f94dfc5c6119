"""The versions of consents that were renewed; of what was renewed before, the log alone has the earlier ones."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "earlier_versions",
        sa.Column("consent_id", sa.Text, sa.ForeignKey("consents.id"), primary_key=True),
        sa.Column("order", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("record", sa.LargeBinary, nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("replaced_at", sa.DateTime(timezone=True), nullable=False),
    )
