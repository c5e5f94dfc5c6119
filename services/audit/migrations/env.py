"""Runs audit's migrations (Alembic calls this)."""

from services.audit.tables import METADATA
from services.kit.database import run_environment

run_environment(METADATA)
