"""When something is to be said next of a consent's end."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("consents", sa.Column("due_at", sa.DateTime(timezone=True)))
    # What ended before there was anybody to say it is not said any more. Of the rest each is looked at once, now: what
    # is due is said, what is not yet moves on by its own words.
    op.execute(
        "WITH granted AS (SELECT id, CAST(convert_from(record, 'UTF8')::jsonb ->> 'expires_at' AS timestamptz) AS ends"
        "  FROM consents WHERE decision = 'permit')"
        " UPDATE consents SET due_at = now() FROM granted WHERE granted.id = consents.id AND ends > now()"
    )
    op.create_index("ix_consents_due_at", "consents", ["due_at"], postgresql_where=sa.text("due_at IS NOT NULL"))
