"""`threshold restored SERVICE` as its operator runs it, on a database of the test's own."""

import os
import subprocess
import sys

from services.kit.connecting import bootstrap_of
from services.kit.settings import DatabaseSettings


def declare_restored(settings: DatabaseSettings) -> str:
    """Run the command and return what it printed."""
    environment = {
        **os.environ,
        "THRESHOLD_KAFKA": bootstrap_of(settings.kafka),
        "THRESHOLD_DATABASE_URL": settings.database_url.get_secret_value(),
    }
    command = (sys.executable, "-m", "services.cli", "restored", settings.service)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
