"""One aggregate for all control records, so that none overtakes a restatement; credentials to be confirmed again."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("UPDATE outbox SET aggregate = 'control'")
    op.add_column("credentials", sa.Column("unconfirmed", sa.Boolean, nullable=False, server_default=sa.false()))
