"""What README tells a case system to do, done: its own code blocks run as they stand there."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from services.kit import keys
from tests.support.providers import SCOPES, Providers
from tests.support.stack import StackProcess

pytestmark = pytest.mark.asyncio(loop_scope="package")

README = Path(__file__).parents[2].joinpath("README.md").read_text()


def _block(language: str, holding: str) -> str:
    blocks: list[str] = re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    [found] = [block for block in blocks if holding in block]
    return found


async def _run(command: list[str], town: Providers, credential: dict[str, str]) -> str:
    environment = {**os.environ, **{name.upper(): url for name, url in town.outreach.services.items()}}
    environment |= {"CLIENT_ID": credential["client_id"], "CLIENT_SECRET": credential["client_secret"]}
    environment |= {"SHELTER": town.shelter.id, "CONTACT": "desk"}
    done = await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def _credential(stack: StackProcess, town: Providers) -> dict[str, str]:
    form = {**stack.admin, "grant_type": "client_credentials"}
    http, governance = town.outreach.http, stack.services["governance"]
    token = (await http.post(f"{governance}/oauth/token", data=form)).json()["access_token"]
    answer = await http.post(
        f"{governance}/organizations/{town.outreach.id}/credentials",
        json={"name": f"readme-{keys.random_id()[:6]}", "scopes": SCOPES},
        headers={"Authorization": f"Bearer {token}"},
    )
    credential: dict[str, str] = answer.json()
    return credential


async def test_the_python_lines_refer_somebody_who_stays_unknown(running_stack: StackProcess, town: Providers) -> None:
    before = len(town.shelter.desk.received)
    said = await _run([sys.executable, "-c", _block("python", "httpx")], town, await _credential(running_stack, town))
    assert '"status":"requested"' in said
    arrived = (await town.shelter.desk.wait(before + 1))[before]
    assert arrived.data["verdict"] == "deidentified"
    assert b"Rosa" not in arrived.raw
