"""Which decisions tell that their referral was entered in error: nothing of it is given any more."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("decisions", sa.Column("in_error", sa.Boolean, nullable=False, server_default=sa.false()))
    op.execute(
        "UPDATE decisions SET in_error = true WHERE verdict = 'status'"
        " AND convert_from(told, 'UTF8')::json #>> '{event,type}' = 'referral.entered_in_error'"
    )
