"""Decisions with their events, deliveries, and how far the log was read."""

import sqlalchemy as sa
from alembic import op
from alembic.operations import Operations
from sqlalchemy.dialects.postgresql import JSONB

from services.kit.progress import create_positions

revision = "0001"
down_revision = None

MOMENT = sa.DateTime(timezone=True)
TEXTS = sa.ARRAY(sa.Text)


def upgrade() -> None:
    op.create_table("organizations", sa.Column("id", sa.Text, primary_key=True))
    _events()
    _decisions()
    _deliveries()
    create_positions(Operations(op.get_context()))


def _events() -> None:
    op.create_table(
        "undecided_events",
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("source_offset", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("client_id", sa.Text, nullable=False),
        sa.Column("referral_id", sa.Text, nullable=False),
        sa.Column("originator", sa.Text, nullable=False),
        sa.Column("publisher", sa.Text, nullable=False),
        sa.Column("publisher_project", sa.Text),
        sa.Column("purpose", sa.Text, nullable=False),
    )


def _decisions() -> None:
    op.create_table(
        "decisions",
        sa.Column("number", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("id", sa.Text, nullable=False, index=True),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("source_offset", sa.BigInteger, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("policy_version", sa.Integer, nullable=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("client_id", sa.Text, nullable=False),
        sa.Column("referral_id", sa.Text, nullable=False),
        sa.Column("reference", sa.Text),
        sa.Column("originator", sa.Text, nullable=False),
        sa.Column("publisher", sa.Text, nullable=False),
        sa.Column("publisher_project", sa.Text),
        sa.Column("recipient", sa.Text, nullable=False),
        sa.Column("recipient_project", sa.Text),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("categories", TEXTS, nullable=False),
        sa.Column("withheld", JSONB, nullable=False),
        sa.Column("reasons", TEXTS, nullable=False),
        sa.Column("status", sa.Text),
        sa.Column("agreements", TEXTS, nullable=False),
        sa.Column("basis", JSONB, nullable=False),
        sa.Column("obligations", TEXTS, nullable=False),
        sa.Column("told_verdict", sa.Text),
        sa.Column("told_categories", TEXTS, nullable=False),
    )
    for column in ("publisher", "recipient", "client_id"):
        op.create_index(None, "decisions", [column, "number"])


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("decision_id", sa.Text, primary_key=True),
        sa.Column("endpoint", sa.Text, primary_key=True),
        sa.Column("attempt", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("state", sa.Text, primary_key=True),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("categories", TEXTS, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("reason", sa.Text),
    )
