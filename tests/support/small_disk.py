"""A disk of its own, and small, below a folder that has what it had: to be filled, and freed again. Needs root."""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BLOCK = bytes(64 * 1024)


class SmallDisk:
    """A folder on a disk of its own."""

    def __init__(self, folder: Path) -> None:
        self._ballast = folder / "ballast"

    def fill(self, but: int = 0) -> None:
        """Leave not a byte, or so many."""
        with self._ballast.open("ab", buffering=0) as ballast:
            for block in (BLOCK, b"\0"):
                _write_until_full(ballast.fileno(), block)
            ballast.truncate(ballast.tell() - but)

    def free(self) -> None:
        """Give the room back."""
        self._ballast.unlink()


@contextmanager
def small_disk(folder: Path, room: int) -> Iterator[SmallDisk]:
    """Put a folder on a disk with so many bytes of room, for as long as the block runs.

    Nobody may use it before the block or after it.
    """
    used = sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())
    kept = folder.rename(folder.with_name(f"{folder.name}.kept"))
    folder.mkdir()
    _run("mount", "-t", "tmpfs", "-o", f"size={used + room}", "tmpfs", str(folder))
    try:
        _run("cp", "--archive", "--sparse=always", f"{kept}/.", str(folder))
        yield SmallDisk(folder)
        shutil.rmtree(kept)
        _run("cp", "--archive", "--sparse=always", str(folder), str(kept))
    finally:
        _run("umount", "--lazy", str(folder))
        folder.rmdir()
        kept.rename(folder)


def _write_until_full(descriptor: int, block: bytes) -> None:
    while True:
        try:
            os.write(descriptor, block)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                return
            raise


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
