"""Keep the two names apart under which a recipient may know a household, until it knows that they are one."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    _members()
    _decisions()
    _views()


def _members() -> None:
    op.add_column("members", sa.Column("version", sa.Integer))
    op.execute("UPDATE members SET version = referrals.version FROM referrals WHERE referrals.id = referral_id")
    op.alter_column("members", "version", nullable=False)


def _decisions() -> None:
    op.add_column("decisions", sa.Column("head", sa.Boolean))
    op.add_column("decisions", sa.Column("reached", sa.Boolean))
    op.execute(
        "UPDATE decisions SET head = EXISTS (SELECT FROM members"
        " WHERE members.referral_id = decisions.referral_id AND members.client_id = decisions.client_id AND head),"
        " reached = delivered_at IS NOT NULL AND released_verdict = 'permit'"
    )
    op.alter_column("decisions", "head", nullable=False)
    op.alter_column("decisions", "reached", nullable=False)


def _views() -> None:
    """What had the id for its name, and a reference, was the head's, and may have taken the place of a member's."""
    op.add_column("views", sa.Column("permitted", sa.Boolean))
    op.add_column("views", sa.Column("reached", sa.Boolean))
    op.execute("UPDATE views SET permitted = name = referral_id")
    op.execute("UPDATE views SET name = reference WHERE reference IS NOT NULL")
    op.execute(
        "UPDATE views SET reached = client_id IS NULL OR EXISTS (SELECT FROM decisions WHERE decisions.reached"
        " AND decisions.referral_id = views.referral_id AND decisions.organization = views.organization"
        " AND decisions.head = (views.name <> views.referral_id))"
    )
    op.alter_column("views", "permitted", nullable=False)
    op.alter_column("views", "reached", nullable=False)
    op.drop_column("views", "reference")
