"""What was said in doubt, and must be heard, is said again."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "unheard",
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("source_offset", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("referral_id", sa.Text, nullable=False),
        sa.Column("client_id", sa.Text, nullable=False),
        sa.Column("consent_id", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("version", sa.BigInteger),
        sa.Column("denied", sa.Boolean, nullable=False),
        sa.Column("restated", sa.Boolean, nullable=False),
    )
