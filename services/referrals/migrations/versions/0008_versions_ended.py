"""Which version of a consent ended, and which consents were renewed."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("consents_ended", sa.Column("version", sa.BigInteger))
    op.alter_column("consents_ended", "reason", nullable=True)
    # Of what expired until now nobody noted which version; what is in error is so in every one.
    op.execute("UPDATE consents_ended SET version = 0 WHERE reason = 'entered-in-error'")
    op.drop_index("consents_ended_once")
    once, applied, renewed = ["consent_id", "reason", "version"], sa.text("applied"), sa.text("reason IS NULL")
    op.create_index("consents_ended_once", "consents_ended", once, unique=True, postgresql_where=applied)
    op.create_index("ix_consents_ended_renewed", "consents_ended", ["consent_id"], postgresql_where=renewed)
