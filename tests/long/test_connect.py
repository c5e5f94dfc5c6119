"""A vendor's first hour: docs/connect.md walked block by block, and what the sandbox does and refuses."""

import asyncio
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deploy.local.errors import LocalStackError
from services.cli.sandbox.kinds import KINDS
from services.cli.sandbox.reached import NO_SANDBOX
from services.cli.sandbox.town import OUTREACH, SHELTER, YOU, found
from tests.support.governance import Caller, member
from tests.support.stack import StackProcess, started_stack
from tests.support.tables import direct
from tests.support.tree import ROOT
from tests.support.waiting import wait_until
from tests.support.walked import Step, shell, steps

pytestmark = pytest.mark.timeout(300)  # the shortest hold is a minute, and its end is one of the kinds

PAGE = (ROOT / "docs" / "connect.md").read_text()
RECEIVER_OFFSET = 50  # of the stack's ports, which nobody else takes


@pytest.fixture(scope="module")
def sandbox() -> Iterator[StackProcess]:
    with started_stack("--sandbox") as stack:
        yield stack


def threshold(sandbox: StackProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "services.cli", "sandbox", *arguments]
    environment = {**os.environ, **sandbox.environment, "COLUMNS": "200"}
    return subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=150)


@contextmanager
def described_otherwise(sandbox: StackProcess, change: Callable[[dict[str, Any]], object]) -> Iterator[None]:
    """Let stack.json say something else for as long as the block runs."""
    file = sandbox.home / "stack.json"
    before = file.read_text()
    content = json.loads(before)
    change(content)
    file.write_text(json.dumps(content))
    try:
        yield
    finally:
        file.write_text(before)


def kept(sandbox: StackProcess) -> dict[str, Any]:
    found: dict[str, Any] = sandbox.described("sandbox")
    return found


def test_the_page_is_true_from_its_first_block_to_its_last(sandbox: StackProcess, tmp_path: Path) -> None:
    first, *others = steps(PAGE.replace("9000", str(sandbox.port_base + RECEIVER_OFFSET)))
    assert first == Step("threshold up --sandbox\n", [])  # which is what the fixture did
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    printed = tmp_path / "printed"
    with shell(tmp_path, printed, sandbox.environment | {"PATH": path, "COLUMNS": "100"}) as terminal:
        for step in others:
            terminal.walk(step)
    received = [line.split(":", 1)[1].strip() for line in printed.read_text().splitlines() if line.startswith("new:")]
    assert {line.split(" | ")[0] for line in received} == set(KINDS)
    assert {line.split(" | ")[1] for line in received if line.startswith("referral.")} == {
        "deidentified",
        "permit",
        "status",
    }
    told_by_receivers = "\n".join(received)
    assert "Rosa" not in told_by_receivers


def test_what_is_printed_at_the_start_can_be_copied(sandbox: StackProcess) -> None:
    command = f"THRESHOLD_HOME={sandbox.home} {sys.executable} -m services.cli sandbox env"
    wait_until(lambda: f'eval "$({command})"' in sandbox.output(), what="the line to copy")  # it comes after stack.json
    said = subprocess.run(["/bin/bash", "-euc", command], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    assert f"export CLIENT_ID={kept(sandbox)['organizations'][YOU]['client_id']}" in said
    assert f"export GOVERNANCE={sandbox.services['governance']}" in said


def test_a_sandbox_is_founded_once_and_keeps_its_credentials(sandbox: StackProcess) -> None:
    before = kept(sandbox)
    sandbox.restart()
    assert kept(sandbox) == before
    for name in ("stack.json", "sandbox.json"):
        assert stat.S_IMODE((sandbox.home / name).stat().st_mode) == 0o600
    assert before["organizations"][YOU]["client_secret"] not in sandbox.output()
    admin = Caller(sandbox, **sandbox.admin)
    assert {each: admin.get(f"/organizations/{each}").json()["test"] for each in (OUTREACH, SHELTER, YOU)} == {
        OUTREACH: True,
        SHELTER: True,
        YOU: True,
    }
    assert admin.get(f"/agreements/{before['agreement']}").json()["status"] == "active"


@pytest.mark.parametrize("organization", [OUTREACH, SHELTER])
def test_every_organization_of_the_sandbox_can_hear(sandbox: StackProcess, organization: str) -> None:
    """Without an endpoint: they read it in their inbox."""
    for type_ in ("referral.requested", "referral.accepted", "referral.closed"):
        sent = threshold(sandbox, "send", type_, "--to", organization)
        assert (sent.returncode, "in the inbox" in sent.stdout) == (0, True), sent.stdout + sent.stderr


def test_nothing_is_done_for_a_real_organization(sandbox: StackProcess) -> None:
    real, _ = member(sandbox, Caller(sandbox, **sandbox.admin))
    refused = threshold(sandbox, "send", "referral.requested", "--to", real)
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"threshold: {real} is no organization of the sandbox")

    def forged(description: dict[str, Any]) -> None:
        credentials = description["sandbox"]["organizations"]
        credentials[real] = credentials[YOU]

    with described_otherwise(sandbox, forged):
        refused = threshold(sandbox, "send", "referral.requested", "--to", real)
    assert (refused.returncode, refused.stderr) == (1, f"threshold: {refused_for(real)}\n")


def test_nothing_is_done_where_there_is_no_sandbox(sandbox: StackProcess) -> None:
    with described_otherwise(sandbox, lambda description: description.pop("sandbox")):
        refused = threshold(sandbox, "env")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == f"threshold: {NO_SANDBOX}\n"


def test_no_sandbox_is_founded_in_a_real_organizations_place(sandbox: StackProcess) -> None:
    description = json.loads((sandbox.home / "stack.json").read_text())
    with direct(sandbox.database("governance")) as connection:
        connection.execute("UPDATE organizations SET test = false WHERE id = %s", [SHELTER])
        try:
            with pytest.raises(LocalStackError, match=refused_for(SHELTER)):
                asyncio.run(found(sandbox.settings, description))
        finally:
            connection.execute("UPDATE organizations SET test = true WHERE id = %s", [SHELTER])


def refused_for(organization: str) -> str:
    return f"{organization} is a real organization: the sandbox acts for test organizations only."
