"""Whether a revocation was taken back from the log, its row and whatever was released before it being lost."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("revocations", sa.Column("taken_back", sa.Boolean, nullable=False, server_default=sa.false()))
