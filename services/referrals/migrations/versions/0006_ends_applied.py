"""An end of a consent counts once the boundary took its record as what it says: a forged one takes no other's place."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("consents_ended", sa.Column("applied", sa.Boolean, nullable=False, server_default=sa.false()))
    # Until now the answer's being there was enough, whatever it said.
    op.execute(
        "UPDATE consents_ended SET applied = true WHERE told OR EXISTS (SELECT FROM positions"
        " WHERE topic = 'disclosures' AND positions.partition = consents_ended.partition AND next > source_offset)"
    )
    op.execute("ALTER TABLE consents_ended DROP CONSTRAINT pk_consents_ended")
    op.create_primary_key("pk_consents_ended", "consents_ended", ["partition", "source_offset"])
    applied, untold = sa.text("applied"), sa.text("applied AND NOT told")
    op.create_index(
        "consents_ended_once", "consents_ended", ["consent_id", "order"], unique=True, postgresql_where=applied
    )
    op.drop_index("ix_consents_ended_untold")
    op.create_index("ix_consents_ended_untold", "consents_ended", ["partition"], postgresql_where=untold)
