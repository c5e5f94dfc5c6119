"""Runs consent's migrations (Alembic calls this)."""

from services.consent.tables import METADATA
from services.kit.database import run_environment

run_environment(METADATA)
