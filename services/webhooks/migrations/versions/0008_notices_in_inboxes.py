"""Notices of what an organization made itself stand in its inbox, from now on, and as long as all that stands there."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("notices", sa.Column("inbox", sa.Text))
    op.add_column("notices", sa.Column("position", sa.BigInteger))
    op.create_check_constraint("notices_place", "notices", "num_nonnulls(inbox, position) <> 1")
    op.create_index("notices_inbox", "notices", ["inbox", "position"], postgresql_where=sa.text("inbox IS NOT NULL"))
    op.drop_index("notices_age")
    op.create_index("notices_age", "notices", ["created_at"], postgresql_where=sa.text("inbox IS NULL"))
