"""docs/threats.md names tests that there are, for each of its threats and for each service."""

import ast
import re
from collections.abc import Iterable

import pytest

from deploy.local.services import SERVICES
from tests.support.tree import ROOT, parsed

PAGE = (ROOT / "docs/threats.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def rows(page: str) -> list[str]:
    """The rows of its tables, without their headings."""
    found = re.findall(r"(?m)^\|(?!---).*\|$", page)
    headings = re.findall(r"(?m)^(\|.*\|)\n\|---", page)
    return [row for row in found if row not in headings]


def missing(named: Iterable[tuple[str, str]]) -> list[str]:
    """What is named and is not there."""
    return [f"{path}::{test}" for path, test in named if not _is_there(path, test)]


def _is_there(path: str, test: str) -> bool:
    file = ROOT / path
    if not file.is_file():
        return False
    functions = ast.FunctionDef, ast.AsyncFunctionDef
    return not test or any(isinstance(node, functions) and node.name == test for node in parsed(file).body)


def test_every_test_that_it_names_is_there() -> None:
    named = NAMED.findall(PAGE)
    assert len(named) > 80
    assert missing(named) == []


def test_every_threat_and_property_names_a_test() -> None:
    found = rows(PAGE.split("## A compromised service")[0])
    assert len([row for row in found if re.match(r"\| \d+ ", row)]) == 10
    assert [row for row in found if not NAMED.search(row)] == []


@pytest.mark.parametrize("service", [one.name for one in SERVICES])
def test_every_service_has_its_row(service: str) -> None:
    [row] = [row for row in rows(PAGE) if row.startswith(f"| **{service}**")]
    assert len(NAMED.findall(row)) >= 2


@pytest.mark.parametrize(
    "named", [("tests/tidy/test_threats.py", "test_that_is_not_there"), ("tests/tidy/test_nothing.py", "")]
)
def test_a_test_that_is_not_there_is_missed(named: tuple[str, str]) -> None:
    assert missing([named]) == ["::".join(named)]
