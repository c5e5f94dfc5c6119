"""Services of tests in processes of their own, which may be stopped and killed."""

import signal
import subprocess
import sys
from collections.abc import Sequence


class WorkerProcess:
    """`python -m <module> <arguments>`; `start` it as often as it was ended."""

    def __init__(self, module: str, arguments: Sequence[str]) -> None:
        self._command = (sys.executable, "-m", module, *arguments)
        self._process: subprocess.Popen[str] | None = None

    @property
    def exit_code(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self._running.poll()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)

    def signal(self, number: signal.Signals) -> None:
        self._running.send_signal(number)

    def ended(self, within: float = 30.0) -> tuple[int, str]:
        """Wait until it has ended; return its exit code and what it wrote to its standard output."""
        output, _ = self._running.communicate(timeout=within)
        return self._running.returncode, output

    def kill(self) -> tuple[int, str]:
        """End it with -9, if it still runs."""
        self._running.kill()
        return self.ended()

    @property
    def _running(self) -> subprocess.Popen[str]:
        assert self._process is not None, "it was not started"
        return self._process
