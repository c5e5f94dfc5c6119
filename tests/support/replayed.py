"""Decides the log of a running stack again, as an auditor does."""

import json
import os
import subprocess
import sys
from typing import Any

from tests.support.stack import StackProcess


def replayed(stack: StackProcess, seed: str = "0") -> dict[str, Any]:
    """What `threshold audit replay` reports of the live log."""
    home = {"THRESHOLD_HOME": str(stack.home), "THRESHOLD_PORT_BASE": str(stack.port_base), "PYTHONHASHSEED": seed}
    command = [sys.executable, "-m", "services.cli", "audit", "replay", "--json"]
    done = subprocess.run(command, env={**os.environ, **home}, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report
