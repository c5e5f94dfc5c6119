"""An endpoint knows whether its organization is a test; one from before, since its organization next looks after it."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("endpoints", sa.Column("test", sa.Boolean, nullable=False, server_default=sa.false()))
