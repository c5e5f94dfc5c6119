"""A whole stack to measure, in a folder of its own."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.ports import free_port_base
from tests.support.stack import StackProcess


@contextmanager
def whole_stack() -> Iterator[StackProcess]:
    """Start it, and leave nothing behind."""
    with tempfile.TemporaryDirectory() as folder, free_port_base() as base:
        Path(folder).chmod(0o755)  # PostgreSQL's own user must be able to enter
        stack = StackProcess(Path(folder, "home"), base)
        try:
            stack.start()
            yield stack
        finally:
            stack.end()
