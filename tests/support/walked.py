"""A page of the documentation, walked as a reader would: each block typed into one shell, what stands under it seen."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.support.waiting import wait_until

BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```", re.DOTALL | re.MULTILINE)
BLOCK_WITHIN = 120.0  # seconds
SEEN_WITHIN = 30.0  # seconds
ANYTHING = "…"


@dataclass
class Step:
    """What is typed, and which lines are to be seen then; an ellipsis in one stands for anything, or for nothing."""

    typed: str
    seen: list[str]


def steps(page: str) -> list[Step]:
    """The blocks of a page, each with the lines of the `text` blocks that follow it."""
    found: list[Step] = []
    for language, content in BLOCK.findall(page):
        if language == "sh":
            found.append(Step(content, []))
        else:
            found[-1].seen += content.splitlines()
    return found


class Shell:
    """One bash in which everything is typed; all that it and its background processes print is in a file."""

    def __init__(self, process: subprocess.Popen[str], printed: Path) -> None:
        self._process = process
        self._printed = printed
        self._typed = 0

    def walk(self, step: Step) -> None:
        """Type a block and wait until it is done and what is to be seen is there; AssertionError with the output."""
        assert self._process.stdin is not None
        before, self._typed = len(self.output()), self._typed + 1
        done = f"--- block {self._typed} is done ---"
        self._process.stdin.write(f"{step.typed}\necho '{done}'\n")
        self._process.stdin.flush()
        wait_until(lambda: done in self.output() or self._has_ended, what=done, deadline=BLOCK_WITHIN)
        assert done in self.output(), f"the shell ended in\n{step.typed}\n{self.output()[before:]}"
        for line in step.seen:
            try:
                wait_until(lambda: is_seen(line, self.output()[before:]), what=line, deadline=SEEN_WITHIN)  # noqa: B023
            except AssertionError as missing:
                raise AssertionError(f"{missing}\n{step.typed}\n{self.output()[before:]}") from None

    @property
    def _has_ended(self) -> bool:
        return self._process.poll() is not None

    def output(self) -> str:
        """Return all that was printed."""
        return self._printed.read_text()


def is_seen(line: str, output: str) -> bool:
    """Whether a line of the output is this one."""
    pattern = ".*".join(re.escape(part.strip()) for part in line.split(ANYTHING))
    return any(re.fullmatch(pattern, each.strip()) for each in output.splitlines())


@contextmanager
def shell(folder: Path, printed: Path, environment: Mapping[str, str]) -> Iterator[Shell]:
    """A bash in a folder; what it left in the background ends with it."""
    with printed.open("a") as output:
        process = subprocess.Popen(
            ["/bin/bash", "-eu"],
            env={**os.environ, **environment},
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            yield Shell(process, printed)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
