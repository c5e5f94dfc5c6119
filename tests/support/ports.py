"""Free port bases, so that stacks of several tests, and of several test runs, live side by side."""

import fcntl
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.ports import is_free

# Below where systems take ephemeral ports from (32768 on Linux): no client connection can land on one of ours.
BASES = range(20_000, 32_500, 100)
OFFSETS = (*range(1, 8), 92, 93)


@contextmanager
def free_port_base() -> Iterator[int]:
    """Reserve a base whose ports nobody uses, for as long as the block runs.

    Between looking and listening another test could take the same ports; a lock on a file per base, which the system
    releases however this process ends, keeps every test of this machine from that.
    """
    folder = Path(tempfile.gettempdir(), "threshold-test-ports")
    folder.mkdir(exist_ok=True)
    for base in random.sample(BASES, len(BASES)):
        with (folder / str(base)).open("w") as reservation:
            if _locked(reservation.fileno()) and all(is_free(base + offset) for offset in OFFSETS):
                yield base
                return
    raise AssertionError("no port base is free")


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
