"""When a client's state was last said whole, to end a doubt."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("clients", sa.Column("restated_at", sa.DateTime(timezone=True)))
