"""A whole `threshold up` as its users run it: a process with a home and ports of its own."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
from pydantic import SecretStr

from deploy.local.postgres import Postgres
from deploy.local.services import SERVICES
from deploy.local.settings import KAFKA_CLIENT_OFFSET, KAFKA_CONTROLLER_OFFSET, LocalSettings
from tests.support.ports import free_port_base
from tests.support.shared_stack import RUN_FOLDER
from tests.support.tables import direct
from tests.support.waiting import wait_until

COMMAND = (sys.executable, "-m", "services.cli", "up")
START_WITHIN = 90.0  # seconds
STOP_WITHIN = 60.0  # seconds


class StackProcess:
    """Starts, wounds and stops one stack; `environment` adds to this process's for the services to see.

    `options` are those of `threshold up`. Everything the command prints is in `output()`; what stack.json says is in
    `kafka`, `services` and `admin`.
    """

    def __init__(
        self, home: Path, port_base: int, environment: Mapping[str, str] | None = None, options: Sequence[str] = ()
    ) -> None:
        self.home = home
        self.port_base = port_base
        self._command = (*COMMAND, *options)
        self._environment = {
            **os.environ,
            **(environment or {}),
            "THRESHOLD_HOME": str(home),
            "THRESHOLD_PORT_BASE": str(port_base),
        }
        self.printed = home.with_name(f"{home.name}.printed")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def kafka(self) -> str:
        return str(self._description()["kafka"])

    @property
    def services(self) -> dict[str, str]:
        return dict(self._description()["services"])

    @property
    def admin(self) -> dict[str, str]:
        return dict(self._description()["admin"])

    def start(self, deadline: float = START_WITHIN) -> None:
        """Run `threshold up` and return once stack.json is there; AssertionError with its output if it ends instead."""
        launched = time.time()
        self.launch()

        def is_described() -> bool:  # one that a killed `threshold up` left does not count
            return self._stack_file.exists() and self._stack_file.stat().st_mtime >= launched

        wait_until(lambda: is_described() or not self.is_running, what="stack.json", deadline=deadline)
        assert is_described(), f"threshold up ended:\n{self.output()}"

    def launch(self) -> None:
        """Run `threshold up` without waiting for it."""
        with self.printed.open("ab") as printed:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdin=subprocess.DEVNULL, stdout=printed, stderr=subprocess.STDOUT
            )

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, SIGTERM or what Ctrl-C sends, and return the exit code once the command has ended."""
        assert self._process is not None, "not started"
        self._process.send_signal(number)
        return self._process.wait(STOP_WITHIN)

    def restart(self) -> None:
        """Stop it cleanly and start it again on the same home and ports."""
        assert self.stop() == 0, self.output()
        self.start()

    def end(self) -> None:
        """Leave nothing running, whatever the test did; for fixtures."""
        if self._process is not None and self.is_running:
            self.stop()

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def wait(self) -> int:
        """Return the exit code of a command that ends by itself."""
        assert self._process is not None, "not started"
        return self._process.wait(STOP_WITHIN)

    def pid(self, name: str) -> int:
        """Return the process id of a running part: a service's name, "kafka" or "postgres"."""
        return int(wait_until(lambda: self._pid_text(name), what=f"{name} to run"))

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to one part and return the process id it had."""
        pid = self.pid(name)
        os.kill(pid, number)
        return pid

    def wait_ready(self, name: str, deadline: float = 60.0) -> None:
        """Return once a service's /readyz says so."""
        url = f"{self.services[name]}/readyz"
        wait_until(lambda: _is_ready(url), what=f"{name} to be ready", deadline=deadline)

    def wait_restarted(self, name: str, old_pid: int, deadline: float = 60.0) -> int:
        """Return the process id of a part once it runs again as another process than `old_pid`."""
        wait_until(
            lambda: self._pid_text(name) not in {"", str(old_pid)}, what=f"{name} to run again", deadline=deadline
        )
        return self.pid(name)

    def wait_kafka(self, deadline: float = 60.0) -> None:
        """Return once Kafka takes connections: clients' own retries pause for up to half a minute."""
        wait_until(self._kafka_answers, what="Kafka to answer", deadline=deadline)

    @contextmanager
    def kafka_down(self) -> Iterator[None]:
        """Keep Kafka down (connections refused) while the block runs; after it, wait until it is back.

        Its controller's port is taken, since nobody else uses that one.
        """
        with self._down("kafka", KAFKA_CONTROLLER_OFFSET):
            yield
        self.wait_kafka()

    @contextmanager
    def service_down(self, name: str) -> Iterator[None]:
        """Keep a service down while the block runs: what calls it waits in vain. After it, wait until it is ready."""
        with self._down(name, next(each.port_offset for each in SERVICES if each.name == name)):
            yield
        self.wait_ready(name)

    @contextmanager
    def postgres_down(self) -> Iterator[None]:
        """Keep PostgreSQL down while the block runs; after it, wait until it takes connections.

        It is killed, and its settings put away, so that every restart fails.
        """
        settings = self.home / "postgres" / "postgresql.conf"
        away = settings.rename(settings.with_suffix(".away"))
        try:
            self.kill("postgres")
            yield
        finally:
            away.rename(settings)
            wait_until(self._postgres_answers, what="PostgreSQL to answer", deadline=60)

    @contextmanager
    def _down(self, name: str, port_offset: int) -> Iterator[None]:
        """Kill a part and keep a port of its own taken, so that every restart fails, while the block runs."""
        self.kill(name)
        with wait_until(lambda: _listener(self.port_base + port_offset), what=f"the port of {name}"):
            yield

    def output(self) -> str:
        """Return all that `threshold up` has printed in this home."""
        return self.printed.read_text()

    def assert_said(self, beginning: str) -> None:
        """The last line is the sentence; before it there may be steps taken, but never a traceback."""
        assert self.output().splitlines()[-1].startswith(f"threshold: {beginning}"), self.output()
        assert "Traceback" not in self.output()

    def log(self, name: str) -> str:
        """Return the log of one part."""
        return (self.home / "logs" / f"{name}.log").read_text()

    def database(self, service: str) -> SecretStr:
        """Return the URL of a service's database, to look at its rows from outside."""
        settings = self.settings
        return SecretStr(Postgres(settings.home / "postgres", settings.logs / "postgres.log").url(service, service))

    @property
    def settings(self) -> LocalSettings:
        return LocalSettings.from_environment(self._environment)

    @property
    def _stack_file(self) -> Path:
        return self.home / "stack.json"

    @property
    def environment(self) -> dict[str, str]:
        """What says to a command where this stack is."""
        return {name: self._environment[name] for name in ("THRESHOLD_HOME", "THRESHOLD_PORT_BASE")}

    def described(self, name: str) -> Any:
        """Return what stack.json says under a name."""
        return self._description()[name]

    def _description(self) -> dict[str, Any]:
        description: dict[str, Any] = json.loads(self._stack_file.read_text())
        return description

    def _kafka_answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port_base + KAFKA_CLIENT_OFFSET)).close()
        except OSError:
            return False
        return True

    def _postgres_answers(self) -> bool:
        try:
            direct(self.database("referrals")).close()
        except psycopg.OperationalError:
            return False
        return True

    def _pid_text(self, name: str) -> str:
        try:
            return (self.home / "run" / name).read_text()
        except FileNotFoundError:
            return ""


@contextmanager
def new_home() -> Iterator[Path]:
    """A path for a stack of a test's own, in a folder that PostgreSQL's user can enter (pytest's own is closed)."""
    folder = Path(tempfile.mkdtemp(dir=os.environ[RUN_FOLDER]))
    folder.chmod(0o755)
    yield folder / "home"
    shutil.rmtree(folder)


@contextmanager
def started_stack(*options: str) -> Iterator[StackProcess]:
    """A whole stack that runs as long as the block; with options of `threshold up`."""
    with new_home() as home, free_port_base() as base:
        stack = StackProcess(home, base, options=options)
        try:
            stack.start()
            yield stack
        finally:
            stack.end()


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _listener(port: int) -> socket.socket | None:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError:
        return None
