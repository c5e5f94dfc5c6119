"""Keep when it was decided what crosses, how its delivery fares, what was done when, and when recipients are nudged."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("decisions", sa.Column("decided_at", sa.DateTime(timezone=True)))
    op.add_column("decisions", sa.Column("trouble", sa.Text))
    _nudges()
    op.create_table(
        "steps",
        sa.Column("referral_id", sa.Text, sa.ForeignKey("referrals.id"), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.Text, nullable=False),
    )


def _nudges() -> None:
    for name in ("nudge_at", "nudged_at"):
        op.add_column("referrals", sa.Column(name, sa.DateTime(timezone=True)))
    op.execute(
        "UPDATE referrals SET nudge_at = created_at + (respond_by - created_at) * 0.75"
        " WHERE status = 'requested' AND NOT historical AND respond_by - created_at >= interval '2 minutes'"
    )
    waiting = sa.text("status = 'requested' AND nudge_at IS NOT NULL AND nudged_at IS NULL")
    op.create_index("ix_referrals_nudge_at", "referrals", ["nudge_at"], postgresql_where=waiting)
