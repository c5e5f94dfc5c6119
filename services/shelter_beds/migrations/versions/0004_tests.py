"""A unit knows whether it is a test organization's. Of those from before, governance says so as soon as it is asked."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("units", sa.Column("test", sa.Boolean, nullable=False, server_default=sa.false()))
