"""Prints the story: what was seen, and ✓ or ✗ where it was compared with what was expected."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

INDENT = 3
NAME_WIDTH = 12


class NotAsTold(Exception):
    """The story cannot go on: something it needs did not happen. The text says what, as a line of the story."""


class Telling:
    """Tells the story on a console and remembers every line that did not come out as told."""

    def __init__(self, console: Console) -> None:
        self.failures: list[str] = []
        self.compared = 0
        self._console = console
        self._step = ""

    def begins(self, title: str) -> None:
        """Print the title and how to read the story."""
        self._console.print()
        self._console.print(Text(title, style="bold"))
        legend = "·  was seen     ✓  was compared, and is as expected     ✗  is not"
        self._console.print(Text(legend, style="dim"))

    def step(self, number: int, title: str, expectation: str) -> None:
        """Begin a step: what it is about, and what should come of it."""
        self._step = f"{number}  {title}"
        self._console.print()
        self._print(Text(str(number), style="bold"), Text(title, style="bold"), indent=0)
        self._print(Text(), Text(f"Expected: {expectation}", style="italic"), indent=0)

    def saw(self, sentence: str) -> None:
        """Print something that was observed."""
        self._print(Text("·", style="dim"), Text(sentence))

    def showed(self, rows: Iterable[tuple[str, str]]) -> None:
        """Print the contents of something observed, a name and a value a row."""
        for name, value in rows:
            self._print(Text(), _row((NAME_WIDTH, Text(name, style="dim")), Text(value)))

    def check(self, statement: str, observed: Any, expected: Any = True) -> None:  # noqa: ANN401 - compared, not used
        """Print the statement with what was observed, ✓ if that is what was expected and ✗ if not."""
        self._compared(statement, observed, shown(expected), held=observed == expected)

    def check_at_least(self, statement: str, observed: int, least: int) -> None:
        """Print the statement with the number that was observed, ✓ if it is not below `least` and ✗ if it is."""
        self._compared(statement, observed, f"at least {least}", held=observed >= least)

    def broke_off(self, reason: NotAsTold) -> None:
        """Print why the story cannot go on."""
        self.compared += 1
        self._failed(str(reason))

    def ends(self) -> None:
        """Print how the day came out."""
        self._console.print()
        if not self.failures:
            self._console.print(Text(f"✓  All {self.compared} comparisons came out as told.", style="bold green"))
            return
        count = f"✗  {len(self.failures)} of {self.compared} comparisons did NOT come out as told:"
        self._console.print(Text(count, style="bold red"))
        for line in self.failures:
            self._print(Text(), Text(line, style="red"), indent=0)

    def _compared(self, statement: str, observed: Any, expected: str, *, held: bool) -> None:  # noqa: ANN401
        self.compared += 1
        if not held:
            self._failed(f"{statement}: expected {expected}, got {shown(observed)}")
            return
        found = "" if observed is True else f": {shown(observed)}"
        self._print(Text("✓", style="bold green"), Text.assemble(statement, (found, "green")))

    def _failed(self, line: str) -> None:
        self.failures.append(f"In {self._step}: {line}")
        self._print(Text("✗", style="bold red"), Text(line, style="red"))

    def _print(self, mark: Text, line: Text | Table, *, indent: int = INDENT) -> None:
        self._console.print(Padding(_row((INDENT, mark), line), (0, 0, 0, indent), expand=False))


def shown(value: Any) -> str:  # noqa: ANN401 - whatever was compared
    """Write a value as a person reads it."""
    match value:
        case str():
            return value
        case bool():
            return "yes" if value else "no"
        case set() | frozenset():
            return ", ".join(sorted(value)) or "none"
        case list() | tuple():
            return ", ".join(shown(one) for one in value) or "none"
        case dict():
            return ", ".join(f"{name} {shown(one)}" for name, one in value.items()) or "none"
    return str(value)


def _row(first: tuple[int, Text], second: Text | Table) -> Table:
    width, text = first
    row = Table.grid()
    row.add_column(width=width)
    row.add_column(overflow="fold")
    row.add_row(text, second)
    return row
