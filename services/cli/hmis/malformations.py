"""Damages an export folder in the ways that exports are damaged, one named way at a time."""

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeAlias

Rows: TypeAlias = list[list[str]]


def malform(folder: Path, name: str) -> None:
    """Damage the export in `folder`, in place, as MALFORMATIONS names it; KeyError for a name that is none."""
    MALFORMATIONS[name](folder)


def _edit(folder: Path, file: str, change: Callable[[Rows], Rows], *, quote_all: bool = False) -> None:
    path = folder / file
    with path.open(encoding="utf-8-sig", newline="") as source:
        rows = list(csv.reader(source))
    with path.open("w", encoding="utf-8", newline="") as target:
        csv.writer(target, quoting=csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL).writerows(change(rows))


def _with_cell(column: str, value: str, line: int = 2) -> Callable[[Rows], Rows]:
    def change(rows: Rows) -> Rows:
        rows[line - 1][rows[0].index(column)] = value
        return rows

    return change


def _without_column(column: str) -> Callable[[Rows], Rows]:
    def change(rows: Rows) -> Rows:
        place = rows[0].index(column)
        return [row[:place] + row[place + 1 :] for row in rows]

    return change


def _every_file(folder: Path, change: Callable[[Rows], Rows], *, quote_all: bool = False) -> None:
    for path in folder.glob("*.csv"):
        _edit(folder, path.name, change, quote_all=quote_all)


def _byte_order_mark(folder: Path) -> None:
    for path in folder.glob("*.csv"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())


def _not_utf8(folder: Path) -> None:
    path = folder / "Client.csv"
    header, first, rest = path.read_bytes().split(b"\n", 2)
    path.write_bytes(b"\n".join([header, first.replace(b",", b",\xff", 1), rest]))


def _append(file: str, text: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        with (folder / file).open("a", encoding="utf-8", newline="") as target:
            target.write(text)

    return change


def _cell(file: str, column: str, value: str, line: int = 2) -> Callable[[Path], None]:
    return lambda folder: _edit(folder, file, _with_cell(column, value, line))


def _column(file: str, column: str) -> Callable[[Path], None]:
    return lambda folder: _edit(folder, file, _without_column(column))


MALFORMATIONS: Final[Mapping[str, Callable[[Path], None]]] = MappingProxyType(
    {
        "byte-order-mark": _byte_order_mark,
        "columns-reversed": lambda folder: _every_file(folder, lambda rows: [row[::-1] for row in rows]),
        "all-quoted": lambda folder: _every_file(folder, list, quote_all=True),
        "file-missing": lambda folder: (folder / "HealthAndDV.csv").unlink(),
        "file-empty": lambda folder: _edit(folder, "Exit.csv", lambda _: []),
        "source-missing": lambda folder: (folder / "Export.csv").unlink(),
        "column-missing": _column("Client.csv", "VeteranStatus"),
        "key-column-missing": _column("Event.csv", "EnrollmentID"),
        "date-bad": _cell("Client.csv", "DOB", "02-07-1983"),
        "event-date-bad": _cell("Event.csv", "EventDate", "2022-13-45", line=4),
        "code-bad": _cell("Client.csv", "VeteranStatus", "7"),
        "event-code-bad": _cell("Event.csv", "Event", "99", line=4),
        "code-fractional": _cell("Enrollment.csv", "RelationshipToHoH", "1.0"),
        "name-with-nul": _cell("Client.csv", "FirstName", "a\x00b"),
        "identifier-empty": _cell("Client.csv", "PersonalID", ""),
        "provider-flag-bad": _cell("Organization.csv", "VictimServiceProvider", "maybe"),
        "row-short": _append("Client.csv", "1,2,3\r\n"),
        "row-repeated": lambda folder: _edit(folder, "Client.csv", lambda rows: [*rows, rows[1]]),
        "quote-open": _append("Client.csv", '"1,2\r\n'),
        "not-utf-8": _not_utf8,
    }
)
