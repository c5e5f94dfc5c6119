"""What each delivery rested on when it was sent."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    for name in ("consents", "obligations"):
        op.add_column("deliveries", sa.Column(name, sa.ARRAY(sa.Text), nullable=False, server_default="{}"))
