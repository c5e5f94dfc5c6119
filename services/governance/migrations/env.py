"""Runs governance's migrations (Alembic calls this)."""

from services.governance.tables import METADATA
from services.kit.database import run_environment

run_environment(METADATA)
