"""Keep when it was decided what crosses, how its delivery fares, and the steps that originators are told of."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("decisions", sa.Column("decided_at", sa.DateTime(timezone=True)))
    op.add_column("decisions", sa.Column("trouble", sa.Text))
    op.create_table(
        "steps",
        sa.Column("referral_id", sa.Text, sa.ForeignKey("referrals.id"), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.Text, nullable=False),
    )
