"""docs/operations.md tells of alarms that there are: of every metric and every line at level error, and of no other."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.tree import ROOT, files, name, parsed

PAGE = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
SOURCES = tuple(path for path in files(".py") if name(path).startswith("services/"))
NAMED = re.compile(r"\bthreshold_[a-z_]+\b")
# What prometheus_client shows of each kind.
SHOWN = {"Counter": ("_total",), "Gauge": ("",), "Histogram": ("_bucket", "_count", "_sum")}
LEVELS = {"error", "critical"}


def calls(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the name, the first argument and the second of each call whose first is a text; "" without a second."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Call) and node.args and (first := _text(node.args[0])) is not None:
            called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            yield called, first, (_text(node.args[1]) if len(node.args) > 1 else None) or ""


def _text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


@cache
def metrics() -> dict[str, str]:
    """What each metric says of itself, by every name under which /metrics shows it."""
    return {
        f"{first.removesuffix('_total')}{suffix}": said
        for path in SOURCES
        for called, first, said in calls(path)
        if called in SHOWN and first.startswith("threshold_")
        for suffix in SHOWN[called]
    }


@cache
def lines() -> set[str]:
    """What is logged at level error or worse."""
    return {first for path in SOURCES for called, first, _ in calls(path) if called in LEVELS}


def paged(page: str) -> str:
    """The section that says what to page on."""
    return page.split("## What to page on")[1].split("\n## ", maxsplit=1)[0]


def unknown(text: str) -> set[str]:
    """Metrics that a text names and nobody has."""
    return set(NAMED.findall(text)) - metrics().keys()


def unpaged(page: str) -> list[str]:
    """The alarms of the code of which the page says nothing: metrics that say so of themselves, and lines."""
    rows = [row for row in paged(page).splitlines() if row.startswith("| ")]
    alarms = {metric for metric, said in metrics().items() if "alarm" in said}
    return sorted(alarm for alarm in {*alarms, *lines()} if not any(_stands_in(alarm, row) for row in rows))


def quoted(page: str) -> set[str]:
    """The lines that the page says to page on: what stands between quotes in the first column, code aside."""
    firsts = re.findall(r"(?m)^\| [^|]+ \|", paged(page))
    return {line for first in firsts for line in re.findall(r'"([^"]+)"', re.sub(r"`[^`]*`", "", first))}


def _stands_in(alarm: str, row: str) -> bool:
    return alarm in NAMED.findall(row) or f'"{alarm}"' in row


@pytest.mark.parametrize("page", [*files(".md")], ids=name)
def test_every_metric_that_a_page_names_is_there(page: Path) -> None:
    assert unknown(page.read_text(encoding="utf-8")) == set()


def test_every_alarm_has_its_row() -> None:
    assert len(metrics()) > 20
    assert len(lines()) > 10
    assert unpaged(PAGE) == []


def test_every_line_to_page_on_is_one_that_is_logged() -> None:
    assert len(quoted(PAGE)) > 10
    assert quoted(PAGE) - lines() == set()


def test_an_alarm_without_a_row_and_a_metric_that_nobody_has_are_found() -> None:
    cut = PAGE.replace("threshold_outbox_parked", "threshold_outbox_broken")
    assert unpaged(cut) == ["threshold_outbox_parked"]
    assert unknown(cut) == {"threshold_outbox_broken"}
    assert unpaged(PAGE.replace('"not started"', '"never started"')) == ["not started"]
