"""A hold knows which form its referral was sent with; of a unit that is hidden it tells no beds."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("holds", sa.Column("referral_key", sa.LargeBinary))
    op.execute(
        "UPDATE holds SET discreet = true FROM units"
        " WHERE units.id = unit_id AND ended_at IS NULL AND profile ->> 'shown' <> 'counts'"
    )
