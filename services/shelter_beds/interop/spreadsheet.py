"""RFC 4180: the units as a table with always the same columns, in which nothing is taken for a formula. Pure."""

import csv
import io
from collections.abc import Sequence
from typing import Final

from schemas.beds import Unit

COLUMNS: Final = tuple(Unit.__struct_fields__)
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def table(units: Sequence[Unit]) -> str:
    """Write the units, with a head; what a unit does not show is an empty cell."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerows([_cell(getattr(unit, column)) for column in COLUMNS] for unit in units)
    return text.getvalue()


def _cell(value: object) -> str:
    """Write a value; with an apostrophe before what a spreadsheet program would take for a formula."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case tuple():
            return " ".join(value)
    written = str(value)
    return f"'{written}" if written.startswith(_FORMULA) else written
