"""Whether an organization registered a client only because a permit had given it the id."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("registrations", sa.Column("confirmed", sa.Boolean, nullable=False, server_default=sa.false()))
