"""Referrals, their households and sealed boxes, what each party may see, and what was decided."""

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
    _referrals()
    _members()
    _views()
    _decisions()
    op.create_table(idempotency.NAME, *idempotency.columns())
    operations = Operations(op.get_context())
    create_outbox(operations)
    create_positions(operations)


def _referrals() -> None:
    op.create_table(
        "referrals",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("originator", sa.Text, nullable=False),
        sa.Column("originator_project", sa.Text),
        sa.Column("recipient", sa.Text, nullable=False),
        sa.Column("recipient_project", sa.Text),
        sa.Column("reference", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("call_back", sa.Text, nullable=False),
        sa.Column("external_id", sa.Text),
        sa.Column("respond_by", WITH_ZONE),
        sa.Column("occurred_at", WITH_ZONE),
        sa.Column("historical", sa.Boolean, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("status_version", sa.Integer, nullable=False),
        sa.Column("created_at", WITH_ZONE, nullable=False),
    )
    waiting = sa.text("status = 'requested' AND NOT historical AND respond_by IS NOT NULL")
    op.create_index("ix_referrals_respond_by", "referrals", ["respond_by"], postgresql_where=waiting)


def _members() -> None:
    op.create_table(
        "members",
        sa.Column("referral_id", sa.Text, sa.ForeignKey("referrals.id"), primary_key=True),
        sa.Column("client_id", sa.Text, primary_key=True, index=True),
        sa.Column("head", sa.Boolean, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("next_seq", sa.Integer, nullable=False),
        sa.Column("followed_order", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "used_clients",
        sa.Column("organization", sa.Text, primary_key=True),
        sa.Column("client_id", sa.Text, primary_key=True),
    )


def _views() -> None:
    op.create_table(
        "views",
        sa.Column("organization", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("referral_id", sa.Text, nullable=False, index=True),
        sa.Column("reference", sa.Text, index=True),
        sa.Column("client_id", sa.Text),
        sa.Column("word", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
    )


def _decisions() -> None:
    op.create_table(
        "decisions",
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("source_offset", sa.BigInteger, primary_key=True),
        sa.Column("organization", sa.Text, primary_key=True),
        sa.Column("referral_id", sa.Text, nullable=False, index=True),
        sa.Column("client_id", sa.Text, nullable=False),
        sa.Column("verdict", sa.Text),
        sa.Column("categories", JSONB, nullable=False),
        sa.Column("withheld", JSONB, nullable=False),
        sa.Column("released_verdict", sa.Text),
        sa.Column("released_categories", JSONB),
        sa.Column("delivered_at", WITH_ZONE),
        sa.Column("stopped", sa.Text),
    )
