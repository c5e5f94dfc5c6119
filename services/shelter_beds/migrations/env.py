"""Runs shelter_beds's migrations (Alembic calls this)."""

from services.kit.database import run_environment
from services.shelter_beds.tables import METADATA

run_environment(METADATA)
