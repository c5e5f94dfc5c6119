"""Inbox items that could not be made into a message come again, at the end."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("decisions", sa.Column("position", sa.BigInteger, sa.Identity(always=False), nullable=False))
    op.add_column("decisions", sa.Column("inbox_failures", sa.Integer, nullable=False, server_default="0"))
    op.add_column("decisions", sa.Column("inbox_due_at", sa.DateTime(timezone=True)))
    # Cursors that readers hold stay good.
    op.execute("UPDATE decisions SET position = number")
    op.execute(
        "SELECT setval(pg_get_serial_sequence('decisions', 'position'), coalesce(max(number), 0) + 1, false)"
        " FROM decisions"
    )
    op.drop_index("decisions_inbox")
    op.create_index("decisions_inbox", "decisions", ["organization", "position"])
    op.create_index(
        "decisions_due", "decisions", ["inbox_due_at"], postgresql_where=sa.text("inbox_due_at IS NOT NULL")
    )
