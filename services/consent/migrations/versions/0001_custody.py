"""Clients and their keys, consents, revocations, releases, and their way to the log."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from alembic.operations import Operations
from sqlalchemy.dialects import postgresql

from services.kit import idempotency
from services.kit.outbox import create_outbox

revision = "0001"
down_revision = None

TEXTS = postgresql.ARRAY(sa.Text)


def upgrade() -> None:
    _clients()
    _consents()
    _revocations()
    _releases()
    op.create_table(idempotency.NAME, *idempotency.columns())
    create_outbox(Operations(op.get_context()))


def _clients() -> None:
    op.create_table(
        "clients",
        _text("id", primary_key=True),
        _text("key_id"),
        _text("suite"),
        _text("public_key"),
        sa.Column("private_key", sa.LargeBinary, nullable=False),
        sa.Column("last_order", sa.BigInteger, nullable=False),
        sa.Column("consents", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "identifiers",
        _text("system", primary_key=True),
        _text("owner", primary_key=True),
        sa.Column("value_index", sa.LargeBinary, primary_key=True),
        _client_id(),
    )
    op.create_index("ix_identifiers_client_id", "identifiers", ["client_id"])
    op.create_table(
        "registrations",
        _client_id(primary_key=True),
        _text("organization", primary_key=True),
        _text("via"),
        sa.CheckConstraint("via IN ('registered', 'given')", name="via"),
    )


def _consents() -> None:
    op.create_table(
        "consents",
        _text("id", primary_key=True),
        sa.Column("number", sa.BigInteger, sa.Identity(always=True), nullable=False),
        _client_id(),
        _text("recorder"),
        _text("decision"),
        *_recorded(),
    )
    op.create_index("ix_consents_recorder_number", "consents", ["recorder", "number"])
    op.create_index("ix_consents_client_id_recorder_number", "consents", ["client_id", "recorder", "number"])


def _revocations() -> None:
    op.create_table(
        "revocations",
        _text("id", primary_key=True),
        _client_id(),
        _text("organization"),
        _text("consent_id", nullable=True),
        *_recorded(),
    )
    columns = ["client_id", "organization", "order"]
    op.create_index("ix_revocations_client_id_organization_order", "revocations", columns)


def _releases() -> None:
    op.create_table(
        "releases",
        _text("id", primary_key=True),
        _client_id(),
        sa.Column("client_order", sa.BigInteger, nullable=False),
        _text("decision_id"),
        sa.Column("attempt", sa.Integer, nullable=False),
        *(_text(name) for name in ("channel", "event_type", "referral_id", "purpose")),
        *(_text("originator"), _text("originator_project", nullable=True)),
        *(_text("recipient"), _text("recipient_project", nullable=True)),
        _text("told"),
        *(_text("asked_verdict"), sa.Column("asked_categories", TEXTS, nullable=False)),
        *(_text("verdict"), sa.Column("categories", TEXTS, nullable=False)),
        sa.Column("consents", TEXTS, nullable=False),
        _text("reason", nullable=True),
        _moment("released_at"),
        _moment("doubt_at"),
        _text("state", nullable=True),
        _moment("settled_at", nullable=True),
        sa.CheckConstraint("(state IS NULL) = (settled_at IS NULL)", name="settled"),
    )
    op.create_index("ix_releases_client_id_referral_id", "releases", ["client_id", "referral_id"])


def _recorded() -> list[sa.Column[Any]]:
    return [
        sa.Column("order", sa.BigInteger, nullable=False),
        sa.Column("record", sa.LargeBinary, nullable=False),
        _moment("recorded_at"),
        _moment("accepted_at", nullable=True),
        sa.Column("log_partition", sa.Integer),
        sa.Column("log_offset", sa.BigInteger),
    ]


def _text(name: str, *, primary_key: bool = False, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, primary_key=primary_key, nullable=nullable)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _client_id(*, primary_key: bool = False) -> sa.Column[Any]:
    return sa.Column("client_id", sa.Text, sa.ForeignKey("clients.id"), primary_key=primary_key, nullable=False)
