"""Runs the referrals service's migrations (Alembic calls this)."""

from services.kit.database import run_environment
from services.referrals.tables import METADATA

run_environment(METADATA)
