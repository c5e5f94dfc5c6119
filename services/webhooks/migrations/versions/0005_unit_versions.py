"""The newest version of each unit is known whoever was told of it."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Know of the units of which something is still to be sent, so that it is.

    Of any other nobody knows whether what was told is still the newest: it is not told again.
    """
    op.create_table(
        "unit_versions",
        sa.Column("unit_id", sa.Text, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
    )
    op.execute(
        "INSERT INTO unit_versions (unit_id, version) SELECT unit_id, max(unit_version) FROM deliveries"
        " JOIN endpoints ON endpoints.id = endpoint_id"
        " WHERE unit_id IS NOT NULL AND state IN ('pending', 'sending') AND enabled GROUP BY unit_id"
    )
    op.drop_index("deliveries_unit")  # which found an endpoint's own newest
