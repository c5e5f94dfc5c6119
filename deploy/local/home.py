"""The folder one stack lives in: made, and held by one `threshold up` at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.errors import LocalStackError
from deploy.local.settings import LocalSettings


@contextmanager
def held(settings: LocalSettings) -> Iterator[None]:
    """Make the home and hold it while the block runs; the system lets go of it however this process ends.

    Raises LocalStackError if another process holds it.
    """
    prepare(settings)
    with (settings.home / "up.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise LocalStackError(
                f"Threshold already runs in {settings.home} (process {lock.read().strip()}): "
                "stop it first, or set THRESHOLD_HOME and THRESHOLD_PORT_BASE for a second stack."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def prepare(settings: LocalSettings) -> None:
    """Make the home and its log folder; raises LocalStackError where that cannot be.

    The home is the user's alone, unless that user is root: PostgreSQL then runs as another user, who must be able to
    enter it. What is secret in it has mode 0600 either way.
    """
    try:
        settings.home.mkdir(parents=True, exist_ok=True, mode=0o755 if os.geteuid() == 0 else 0o700)
        settings.logs.mkdir(exist_ok=True)
    except OSError as error:
        raise LocalStackError(
            f"Threshold cannot live in {settings.home} ({error.strerror}): set THRESHOLD_HOME to a folder it may make."
        ) from None


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read (0600), whole or not at all."""
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    unfinished.replace(path)
