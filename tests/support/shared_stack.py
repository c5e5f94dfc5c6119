"""One Kafka and one PostgreSQL for a whole test run, shared by all its worker processes.

The process that runs pytest opens a run (`TestRun`): a folder, and a lock it holds for life. The first worker that
needs Kafka or PostgreSQL starts this module as a process of its own, which keeps both up until that lock is free,
that is until the run ends, in whatever way.
"""

import asyncio
import fcntl
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from shutil import rmtree
from typing import IO

from deploy.local.home import held
from deploy.local.postgres import Postgres
from deploy.local.settings import LocalSettings
from deploy.local.stack import foundations
from tests.support.ports import free_port_base
from tests.support.waiting import wait_until

RUN_FOLDER = "THRESHOLD_TEST_RUN"  # the environment variable that tells workers of the run's folder


@dataclass(frozen=True)
class SharedStack:
    """Where the run's Kafka (bootstrap address) and PostgreSQL (data folder) are."""

    kafka: str
    postgres_data: str

    @property
    def postgres(self) -> Postgres:
        return Postgres(data=Path(self.postgres_data), log=Path(os.devnull))


class TestRun:
    """One run of pytest, from the process that started it."""

    __test__ = False  # not a test class, whatever its name

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="threshold-tests-"))
        # Open to all: when the tests run as root, PostgreSQL's own user must be able to enter.
        self.folder.chmod(0o755)
        self._alive = _lock(self.folder / "alive")
        os.environ[RUN_FOLDER] = str(self.folder)

    def end(self) -> None:
        """Let the shared processes stop, wait until they have, and remove the run's folder."""
        self._alive.close()
        with _lock(self.folder / "serving"):
            rmtree(self.folder)


def shared_stack() -> SharedStack:
    """Return the run's Kafka and PostgreSQL, starting them if no other worker has."""
    folder = Path(os.environ[RUN_FOLDER])
    whereabouts = folder / "shared-stack.json"
    with _lock(folder / "starting"):
        if not whereabouts.exists():
            _start(folder, whereabouts)
    return SharedStack(**json.loads(whereabouts.read_text()))


def _start(folder: Path, whereabouts: Path) -> None:
    log = folder / "shared-stack.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.shared_stack", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for pytest; what is shared stays until the run has ended
        )
    wait_until(
        lambda: whereabouts.exists() or process.poll() is not None, what="shared Kafka and PostgreSQL", deadline=90
    )
    assert whereabouts.exists(), f"Kafka and PostgreSQL did not start:\n{log.read_text()}"


async def _serve(folder: Path) -> None:
    with free_port_base() as base, _lock(folder / "serving"):
        jars = LocalSettings.from_environment().jars
        settings = LocalSettings(home=folder / "shared", port_base=base, jars=jars)
        with held(settings):
            async with foundations(settings, print) as (_, postgres):
                _publish(folder, SharedStack(settings.kafka, str(postgres.data)))
                await asyncio.to_thread(lambda: _lock(folder / "alive").close())


def _publish(folder: Path, stack: SharedStack) -> None:
    unfinished = folder / "shared-stack.json.new"
    unfinished.write_text(json.dumps(asdict(stack)))
    unfinished.rename(folder / "shared-stack.json")


def _lock(path: Path) -> IO[str]:
    """Wait for the lock and return the file whose closing releases it."""
    file = path.open("w")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
