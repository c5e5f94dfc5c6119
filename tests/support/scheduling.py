"""Which tests one worker of pytest-xdist is given together: those of a file, and those that share a running stack."""

from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]  # it has none

SHARING_A_STACK = "tests/e2e/"


class StackSharing(LoadFileScheduling):  # type: ignore[misc]  # of an untyped class
    """As `--dist loadfile`, with the files of one folder as one: a stack for each worker would cost more than it gains.

    A scheduler is told nothing but the tests' names, so their place says that they share, not a mark.
    """

    def _split_scope(self, nodeid: str) -> str:
        return SHARING_A_STACK if nodeid.startswith(SHARING_A_STACK) else str(super()._split_scope(nodeid))


def scheduler(config: pytest.Config, log: Any) -> StackSharing | None:
    """Return ours for `--dist loadfile`, None for what else was asked for."""
    return StackSharing(config, log) if config.getoption("dist") == "loadfile" else None
