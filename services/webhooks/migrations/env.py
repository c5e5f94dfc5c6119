"""Runs the migrations of webhooks (Alembic calls this)."""

from services.kit.database import run_environment
from services.webhooks.tables import METADATA

run_environment(METADATA)
