"""A request has no bed before its shelter's yes, which is when a hold is placed."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Give back what requests had taken, and let them end: their askers may ask again."""
    op.add_column("holds", sa.Column("placed_at", sa.DateTime(timezone=True)))
    op.execute(
        "UPDATE beds SET status = 'free', hold_id = NULL FROM holds WHERE holds.id = hold_id AND state = 'requested'"
    )
    op.execute("UPDATE holds SET bed_ids = '[]', expires_at = least(expires_at, now()) WHERE state = 'requested'")
    op.execute("UPDATE holds SET placed_at = created_at WHERE bed_ids <> '[]'")
    op.drop_column("holds", "answered")
    # It has beds exactly since it was placed; who comes in had one.
    op.create_check_constraint("beds_since_placed", "holds", "(placed_at IS NULL) = (bed_ids = '[]')")
    op.create_check_constraint("requests_have_none", "holds", "state <> 'requested' OR placed_at IS NULL")
    op.create_check_constraint(
        "holds_have_some", "holds", "state NOT IN ('placed', 'checked_in') OR placed_at IS NOT NULL"
    )
