"""All control records are of one aggregate, so that none overtakes a restatement; those that wait are, too."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("UPDATE outbox SET aggregate = 'control'")
