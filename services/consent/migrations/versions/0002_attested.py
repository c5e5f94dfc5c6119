"""Permissions on which other organizations may rely."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("consents", sa.Column("attested", sa.Boolean, nullable=False, server_default="false"))
