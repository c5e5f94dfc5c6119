"""Decisions are found by their referral: what a household's story is made of."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

COLUMNS = {"referral_id": "event,data,referral,id", "client_id": "event,data,client_id", "verdict": "decision,verdict"}


def upgrade() -> None:
    for name in COLUMNS:
        op.add_column("decisions", sa.Column(name, sa.Text))
    read = ", ".join(f"{name} = convert_from(told, 'UTF8')::json #>> '{{{path}}}'" for name, path in COLUMNS.items())
    op.execute(f"UPDATE decisions SET {read}")  # noqa: S608 - names of our own
    for name in COLUMNS:
        op.alter_column("decisions", name, nullable=False)
    op.create_index("decisions_referral", "decisions", ["organization", "referral_id"])
