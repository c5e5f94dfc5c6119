"""Keep for originators when the status that they are shown of a referral was made."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("views", sa.Column("status_at", sa.DateTime(timezone=True)))
    # Of any other status no table has the time: a row gets one with its next status.
    op.execute(
        "UPDATE views SET status_at = created_at FROM referrals"
        " WHERE referrals.id = referral_id AND client_id IS NULL AND word = 'requested' AND state = 'open'"
    )
