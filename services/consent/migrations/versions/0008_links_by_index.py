"""What was kept of requests to link by a code was a hash of the code itself: it goes, and a repetition links again."""

from alembic import op

revision = "0008"
down_revision = "0007"

FORGET = "DELETE FROM idempotency_keys WHERE route = 'POST /clients/code-links'"


def upgrade() -> None:
    op.execute(FORGET)
