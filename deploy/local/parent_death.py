"""Children that end with their parent, even when it is killed with -9 and can clean nothing up."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent(death_signal: signal.Signals) -> Callable[[], None] | None:
    """Return what a child runs between fork and exec so that the kernel signals it when its parent ends.

    Only Linux has this; elsewhere (None) a parent killed with -9 leaves its children behind, and the next
    `threshold up` names the port they still hold. The C library is loaded here, before the fork: after it, a child of
    a process with threads should do as little as possible.
    """
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def in_child() -> None:
        libc.prctl(PR_SET_PDEATHSIG, int(death_signal))
        if os.getppid() != parent:  # it ended before the kernel knew
            os.kill(os.getpid(), signal.SIGKILL)

    return in_child
