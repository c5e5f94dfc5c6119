"""What is told of beds: messages that need no release, delivered beside decisions."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "notices",
        sa.Column("number", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )
    op.create_index("notices_age", "notices", ["created_at"])
    op.alter_column("deliveries", "decision", nullable=True)
    op.add_column("deliveries", sa.Column("notice", sa.BigInteger, sa.ForeignKey("notices.number")))
    op.add_column("deliveries", sa.Column("unit_id", sa.Text))
    op.add_column("deliveries", sa.Column("unit_version", sa.BigInteger))
    op.create_check_constraint("deliveries_what", "deliveries", "num_nonnulls(decision, notice) = 1")
    op.create_unique_constraint("uq_deliveries_notice_endpoint_id", "deliveries", ["notice", "endpoint_id"])
    of_a_unit = sa.text("unit_id IS NOT NULL")
    pending = sa.text("unit_id IS NOT NULL AND state = 'pending'")
    op.create_index("deliveries_unit_due", "deliveries", ["unit_id"], postgresql_where=pending)
    op.create_index(
        "deliveries_unit", "deliveries", ["endpoint_id", "unit_id", "unit_version"], postgresql_where=of_a_unit
    )
