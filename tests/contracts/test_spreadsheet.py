"""The units as CSV: the same columns always, every cell read back as it was, and none that a program would run."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.beds import Unit
from services.shelter_beds.interop.spreadsheet import COLUMNS, table
from tests.contracts.interop_units import EVERY_KIND, full

DANGEROUS = ("=", "+", "-", "@", "\t", "\r")
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


def rows(*units: Unit) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table(units), newline=""), strict=True))


def test_the_columns_are_those_of_a_unit_whatever_it_shows() -> None:
    head, *lines = table(EVERY_KIND).split("\r\n")
    assert head.split(",") == list(COLUMNS) == list(Unit.__struct_fields__)
    assert len(lines) == len(EVERY_KIND) + 1
    assert lines[-1] == ""
    assert rows() == []


def test_cells_are_what_was_said() -> None:
    (row, *_, called) = rows(*EVERY_KIND)
    assert (row["name"], row["available"], row["open"]) == ("Harbor Family Rooms", "3", "true")
    assert (row["bring"], row["phone"]) == ("photo_id medication", "'+1 555 0100")
    assert (called["available"], called["open"], called["reported_at"]) == ("", "", "")


@pytest.mark.parametrize("start", DANGEROUS)
def test_what_looks_like_a_formula_is_text(start: str) -> None:
    (row,) = rows(full(name=f'{start}HYPERLINK("x","y")'))
    assert row["name"] == f'\'{start}HYPERLINK("x","y")'


@given(TEXT)
def test_any_text_comes_back_and_no_cell_begins_like_a_formula(text: str) -> None:
    (row,) = rows(full(eligibility=text or None, area='a "b", c\r\nd'))
    assert row["eligibility"].removeprefix("'" if text.startswith(DANGEROUS) else "") == text
    assert row["area"] == 'a "b", c\r\nd'
    assert not any(cell.startswith(DANGEROUS) for cell in row.values())
