"""Units, their beds, holds, and who changed what."""

import sqlalchemy as sa
from alembic import op
from alembic.operations import Operations
from sqlalchemy.dialects.postgresql import JSONB

from services.kit import idempotency
from services.kit.outbox import create_outbox
from services.kit.progress import create_positions

revision = "0001"
down_revision = None

WITH_ZONE = sa.DateTime(timezone=True)


def upgrade() -> None:
    _units()
    _holds()
    _beds()
    _changes()
    op.create_table(idempotency.NAME, *idempotency.columns())
    operations = Operations(op.get_context())
    create_outbox(operations)
    create_positions(operations)


def _units() -> None:
    op.create_table(
        "units",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("organization", sa.Text, nullable=False, index=True),
        sa.Column("organization_name", sa.Text, nullable=False),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("project_type", sa.Integer, nullable=False),
        sa.Column("profile", JSONB, nullable=False),
        sa.Column("withdrawn", sa.Boolean, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("updated_at", WITH_ZONE, nullable=False),
        sa.Column("said", JSONB(none_as_null=True)),
        sa.Column("reported_at", WITH_ZONE),
        sa.Column("census_as_of", WITH_ZONE),
        sa.Column("last_reset_at", WITH_ZONE, nullable=False),
        sa.Column("wakes_at", WITH_ZONE, index=True),
        sa.Column("created_at", WITH_ZONE, nullable=False),
    )


def _holds() -> None:
    op.create_table(
        "holds",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("unit_id", sa.Text, sa.ForeignKey("units.id"), nullable=False),
        sa.Column("organization", sa.Text, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("beds", sa.Integer, nullable=False),
        sa.Column("discreet", sa.Boolean, nullable=False),
        sa.Column("bed_ids", JSONB, nullable=False),
        sa.Column("door_code", sa.Text, nullable=False),
        sa.Column("referral_id", sa.Text),
        sa.Column("minutes", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("extended", sa.Boolean, nullable=False),
        sa.Column("created_at", WITH_ZONE, nullable=False),
        sa.Column("placed_at", WITH_ZONE),
        sa.Column("expires_at", WITH_ZONE, nullable=False),
        sa.Column("ended_at", WITH_ZONE),
        # A hold lives exactly while it is asked for or placed.
        sa.CheckConstraint("(state IN ('requested', 'placed')) = (ended_at IS NULL)", name="live_or_ended"),
        # It has beds exactly since it was placed; who comes in had one.
        sa.CheckConstraint("(placed_at IS NULL) = (bed_ids = '[]')", name="beds_since_placed"),
        sa.CheckConstraint("state <> 'requested' OR placed_at IS NULL", name="requests_have_none"),
        sa.CheckConstraint("state NOT IN ('placed', 'checked_in') OR placed_at IS NOT NULL", name="holds_have_some"),
    )
    live = sa.text("ended_at IS NULL")
    op.create_index("holds_ends", "holds", ["unit_id", "ended_at"])
    op.create_index("holds_holder", "holds", ["holder"])
    op.create_index("holds_due", "holds", ["expires_at"], postgresql_where=live)
    op.create_index("holds_referral", "holds", ["referral_id"], postgresql_where=live)
    op.create_index("holds_door", "holds", ["unit_id", "door_code"], unique=True, postgresql_where=live)


def _beds() -> None:
    op.create_table(
        "beds",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("unit_id", sa.Text, sa.ForeignKey("units.id"), nullable=False, index=True),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("offline_reason", sa.Text),
        sa.Column("hold_id", sa.Text, sa.ForeignKey("holds.id")),
        sa.Column("last_order", sa.BigInteger, nullable=False),
        # One holder at most, and none of a bed that is not held.
        sa.CheckConstraint("(status = 'held') = (hold_id IS NOT NULL)", name="held_by_a_hold"),
    )


def _changes() -> None:
    op.create_table(
        "changes",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("unit_id", sa.Text, sa.ForeignKey("units.id"), nullable=False),
        sa.Column("at", WITH_ZONE, nullable=False),
        sa.Column("organization", sa.Text),
        sa.Column("api_client", sa.Text),
        sa.Column("actor", JSONB(none_as_null=True)),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("details", JSONB, nullable=False),
    )
    op.create_index("changes_unit", "changes", ["unit_id", "id"])
