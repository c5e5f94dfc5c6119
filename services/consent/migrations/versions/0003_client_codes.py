"""Codes that clients carry on a card, who linked by one, and where a person first came to."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

WITH_ZONE = sa.DateTime(timezone=True)

# Of a client whom several organizations have registered by now, nobody noted which was the first.
ORIGIN = """
UPDATE clients SET origin = first.organization FROM (
 SELECT client_id, min(organization) AS organization FROM registrations WHERE via = 'registered'
 GROUP BY client_id HAVING count(*) = 1
) AS first WHERE clients.id = first.client_id
"""


def upgrade() -> None:
    op.add_column("clients", sa.Column("origin", sa.Text, nullable=False, server_default=""))
    op.execute(ORIGIN)
    op.alter_column("clients", "origin", server_default=None)
    op.create_table(
        "client_codes",
        sa.Column("client_id", sa.Text, sa.ForeignKey("clients.id"), primary_key=True),
        sa.Column("code_index", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("organization", sa.Text, nullable=False),
        sa.Column("made_at", WITH_ZONE, nullable=False),
        sa.Column("expires_at", WITH_ZONE, nullable=False),
    )
    op.create_table(
        "client_links",
        sa.Column("number", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("client_id", sa.Text, sa.ForeignKey("clients.id"), nullable=False),
        sa.Column("organization", sa.Text, nullable=False),
        sa.Column("linked_at", WITH_ZONE, nullable=False),
        sa.Column("actor_id", sa.Text),
        sa.Column("actor_role", sa.Text),
    )
    op.create_index("ix_client_links_client_id", "client_links", ["client_id"])
    op.create_table(
        "code_guesses",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("organization", sa.Text, nullable=False),
        sa.Column("guessed_at", WITH_ZONE, nullable=False),
    )
    op.create_index("ix_code_guesses_organization_guessed_at", "code_guesses", ["organization", "guessed_at"])
