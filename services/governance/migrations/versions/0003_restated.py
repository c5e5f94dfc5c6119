"""The newest restatement of the control records: its order, below which nothing is said any more, and its time."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("log_identity", sa.Column("floor", sa.BigInteger, nullable=False, server_default="0"))
    op.alter_column("log_identity", "floor", server_default=None)
    op.add_column("log_identity", sa.Column("restated_at", sa.DateTime(timezone=True)))
