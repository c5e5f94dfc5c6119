"""`threshold demo --once`: exit 0 when the day comes out as told, 1 when a rule of the policy is broken."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Found by every Python process on PYTHONPATH as it starts, before anything has imported the policy.
PERMIT_EVERYTHING = """
from datetime import UTC, datetime
from policy import allowed
from schemas.events import Consent, HeldConsent

def permit(category, found, *_):
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    return HeldConsent(order=1, recorder=found.discloser, consent=Consent(
        id="nobody-said-so", version=1, to=(found.recipient,), valid_from=begin, method="written", notice_version="0",
        categories=(category,), purposes=(found.purpose,)))

allowed._grant_for = permit
"""


@pytest.mark.timeout(300)  # two days, one after the other
def test_the_day_comes_out_as_told_unless_the_policy_is_broken(
    stack_home: Path, port_base: int, tmp_path: Path
) -> None:
    told = _demo(stack_home, port_base)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "comparisons came out as told." in told.stdout
    assert "✗" not in told.stdout.partition("Outreach refers Rosa")[2]

    (tmp_path / "sitecustomize.py").write_text(PERMIT_EVERYTHING)
    broken = _demo(stack_home, port_base, PYTHONPATH=str(tmp_path))
    assert broken.returncode == 1, broken.stdout + broken.stderr
    assert "did NOT come out as told" in broken.stdout
    assert "It is: expected deidentified, got permit" in broken.stdout
    assert "expected household, identity, need, got health, household, identity, need" in broken.stdout
    assert "Traceback" not in broken.stdout + broken.stderr


def _demo(home: Path, port_base: int, **changes: str) -> subprocess.CompletedProcess[str]:
    places = {"THRESHOLD_HOME": str(home), "THRESHOLD_PORT_BASE": str(port_base), "COLUMNS": "200"}
    command = [sys.executable, "-m", "services.cli", "demo", "--once"]
    environment = {**os.environ, **places, **changes}
    return subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
