"""Shows on the terminal how far an import is."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars


class Progress:
    """One bar for each step of the import."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._task = bars.add_task("Reading", total=None)

    def step(self, title: str, total: int) -> None:
        """Begin the next step, of `total` parts."""
        self._bars.update(self._task, total=total, completed=0, description=title)

    def advance(self) -> None:
        """One part more is done."""
        self._bars.advance(self._task)


@contextmanager
def shown() -> Iterator[Progress]:
    """Show progress on stderr while the block runs, if that is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(*columns, transient=True, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bars:
        yield Progress(bars)
