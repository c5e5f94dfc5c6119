"""Pictures of what the commands print in a terminal, from real runs, for people to look at: docs/screenshots."""

import asyncio
import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from services.cli.sandbox.town import YOU
from tests.support.example_receivers import running
from tests.support.governance import Caller
from tests.support.ports import free_port_base
from tests.support.stack import StackProcess, new_home, started_stack
from tests.support.tree import ROOT

pytestmark = pytest.mark.timeout(400)
FOLDER = ROOT / "docs" / "screenshots"
ROWS, COLUMNS = 50, 110
LARGEST = 200_000  # bytes
PERMITTED = rb"\"verdict\":\"permi"  # how an export, whose records are texts, begins to say it
FONT_OF_ANOTHER_HOST = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[StackProcess]:
    with started_stack("--sandbox") as stack:
        yield stack


async def test_the_sandbox_lets_one_event_of_every_kind_happen(sandbox: StackProcess) -> None:
    you = Caller(sandbox, **sandbox.described("sandbox")["organizations"][YOU])
    endpoints = f"{sandbox.services['webhooks']}/endpoints"
    made = you.post(endpoints, {"url": "http://127.0.0.1:9/", "types": ["*", "unit.availability"]}).json()
    async with running([sys.executable, "examples/receiver.py"], made["secret"]) as receiver:
        you.http.patch(f"{endpoints}/{made['id']}", json={"url": receiver.url})
        printed = await asyncio.to_thread(in_a_terminal, ["sandbox", "send", "--all"], sandbox.environment)
    assert you.http.delete(f"{endpoints}/{made['id']}").status_code == 204, "nobody listens there any more"
    assert f"24 delivered to {YOU}." in printed
    taken("sandbox", {"threshold sandbox send --all": printed})


def test_an_auditor_decides_the_log_again_and_finds_one_altered_byte(sandbox: StackProcess, tmp_path: Path) -> None:
    in_a_terminal(["sandbox", "send", "referral.requested"], sandbox.environment)
    log = tmp_path / "log"
    exported = in_a_terminal(["audit", "export", "log"], sandbox.environment, tmp_path)
    same = in_a_terminal(["audit", "replay", "--from", "log"], sandbox.environment, tmp_path)
    assert "Byte-identical" in same
    whole = log.read_bytes()
    place = whole.index(PERMITTED) + len(PERMITTED) - 1
    log.write_bytes(whole[:place] + b"d" + whole[place + 1 :])
    altered = in_a_terminal(["audit", "replay", "--from", "log"], sandbox.environment, tmp_path, exits=1)
    assert "decision-altered" in altered
    told = {
        "threshold audit export log": exported,
        "threshold audit replay --from log": same,
        "threshold audit replay --from log   # after one byte of a decision was altered": altered,
    }
    taken("replay", told)


def test_the_demo_tells_its_day() -> None:
    with new_home() as home, free_port_base() as base:
        where = {"THRESHOLD_HOME": str(home), "THRESHOLD_PORT_BASE": str(base)}
        printed = in_a_terminal(["demo", "--once"], where)
    assert "comparisons came out as told" in printed
    lines = printed.splitlines()
    title = next(number for number, line in enumerate(lines) if "One day of a community" in line)
    taken("demo", {"make demo": "\n".join(lines[title : lines.index("Stopped.")])})


def in_a_terminal(arguments: list[str], environment: Mapping[str, str], folder: Path = ROOT, exits: int = 0) -> str:
    """Run a command as in a terminal and return all that it prints there, colours too."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    colours = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
    process = subprocess.Popen(
        [sys.executable, "-m", "services.cli", *arguments],
        env={**os.environ, **environment, **colours},
        cwd=folder,
        stdin=its,
        stdout=its,
        stderr=subprocess.DEVNULL,  # where it shows progress while it works
    )
    os.close(its)
    printed = io.BytesIO()
    try:
        while chunk := os.read(ours, 65_536):
            printed.write(chunk)
    except OSError:  # how a terminal says that nobody writes to it any more
        pass
    os.close(ours)
    assert process.wait() == exits
    return printed.getvalue().decode().replace("\r\n", "\n")


def taken(name: str, told: Mapping[str, str]) -> None:
    """Draw commands, with what each printed, as a terminal shows them."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    for command, printed in told.items():
        console.print(Text.assemble(("$ ", "dim"), (command, "bold")), soft_wrap=True)
        console.print(Text.from_ansi(printed.strip("\n")))
    drawn = FONT_OF_ANOTHER_HOST.sub("", console.export_svg(title="", theme=MONOKAI, unique_id=name))
    assert "url(http" not in drawn
    path = FOLDER / f"{name}.svg"
    path.write_text("\n".join(line.rstrip() for line in drawn.splitlines()) + "\n", encoding="utf-8")
    assert path.stat().st_size < LARGEST
