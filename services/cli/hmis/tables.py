"""Reads one CSV file of an export row by row; every malformed row or cell becomes a line of the report."""

import csv
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Final, Generic, TextIO, TypeVar

from schemas.codes import HudCode
from services.cli.hmis.report import Report, What

Row = TypeVar("Row")
CodeList = TypeVar("CodeList", bound=HudCode)

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_INTEGER: Final = re.compile(r"-?\d{1,9}", re.ASCII)
_LONGEST_IDENTIFIER: Final = 64
_ORIENTATION: Final = "it is not a code of HUD's list for this column (FY2026)"


class UnusableRowError(Exception):
    """A row lacks something without which it means nothing."""

    def __init__(self, what: What, why: str) -> None:
        super().__init__(why)
        self.what, self.why = what, why


@dataclass(frozen=True, slots=True)
class Cells:
    """One row, giving each column as the type it should have; what it is not goes to the report, without its value."""

    file: str
    line: int
    values: Mapping[str, str]
    report: Report

    def text(self, column: str) -> str | None:
        """Give a cell without surrounding blanks, None if nothing is left."""
        return self.values.get(column, "").strip() or None

    def identifier(self, column: str) -> str:
        """Give an id of the export; UnusableRowError without one."""
        text = self.text(column)
        if text is None:
            raise UnusableRowError("missing-value", f"{column} is empty")
        if len(text) > _LONGEST_IDENTIFIER or not text.isprintable():
            raise UnusableRowError("bad-value", f"{column} is no identifier")
        return text

    def code(self, column: str, codes: type[CodeList]) -> CodeList | None:
        """Give a code of a HUD list; None, and a finding, for what is none."""
        text = self.text(column)
        if text is None:
            return None
        if _INTEGER.fullmatch(text) and int(text) in codes.__members__.values():
            return codes(int(text))
        self.report.note(self.file, self.line, "bad-code", f"{column}: {_ORIENTATION}; the cell is left out")
        return None

    def required_code(self, column: str, codes: type[CodeList]) -> CodeList:
        """Give a code of a HUD list; UnusableRowError for what is none."""
        text = self.text(column)
        if text is None:
            raise UnusableRowError("missing-value", f"{column} is empty")
        if not _INTEGER.fullmatch(text) or int(text) not in codes.__members__.values():
            raise UnusableRowError("bad-code", f"{column}: {_ORIENTATION}")
        return codes(int(text))

    def optional_code(self, column: str, codes: type[CodeList]) -> CodeList | None:
        """Give a code of a HUD list, None for an empty cell; UnusableRowError for what is none."""
        return None if self.text(column) is None else self.required_code(column, codes)

    def number(self, column: str) -> int:
        """Give a number from 0 up; UnusableRowError for what is none."""
        text = self.text(column)
        if text is None:
            raise UnusableRowError("missing-value", f"{column} is empty")
        if not _INTEGER.fullmatch(text) or int(text) < 0:
            raise UnusableRowError("bad-value", f"{column} is no number from 0 up")
        return int(text)

    def optional_number(self, column: str) -> int:
        """Give a number from 0 up, 0 for an empty cell; UnusableRowError for what is none."""
        return 0 if self.text(column) is None else self.number(column)

    def day(self, column: str) -> date | None:
        """Give a date; None, and a finding, for what is none."""
        text = self.text(column)
        if text is None:
            return None
        day = _day(text)
        if day is None:
            self.report.note(self.file, self.line, "bad-date", f"{column} is not YYYY-MM-DD; the cell is left out")
        return day

    def optional_day(self, column: str) -> date | None:
        """Give a date, None for an empty cell; UnusableRowError for what is none."""
        return None if self.text(column) is None else self.required_day(column)

    def required_day(self, column: str) -> date:
        """Give a date; UnusableRowError for what is none."""
        text = self.text(column)
        if text is None:
            raise UnusableRowError("missing-value", f"{column} is empty")
        day = _day(text)
        if day is None:
            raise UnusableRowError("bad-date", f"{column} is not YYYY-MM-DD")
        return day

    def check_time(self, column: str) -> None:
        """Report a timestamp that is not HUD's `YYYY-MM-DD HH:MM:SS`."""
        text = self.text(column)
        try:
            datetime.strptime(text or "", "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007 - HUD's timestamps have no zone
        except ValueError:
            self.report.note(self.file, self.line, "bad-date", f"{column} is not YYYY-MM-DD HH:MM:SS; it is not used")


@dataclass(frozen=True, slots=True)
class Table(Generic[Row]):
    """A file of the export: the columns without which no row can be read, those also used, and how a row is read.

    `keeps_deleted`: withdrawn rows are read too, and whoever reads them says what becomes of them.
    """

    file: str
    required: Collection[str]
    optional: Collection[str]
    read: Callable[[Cells], Row]
    key: str | None = None  # the column that is unique
    keeps_deleted: bool = False


def rows(folder: Path, table: Table[Row], report: Report) -> Iterator[Row]:
    """Yield the rows of a file that can be used; what cannot goes to the report, and nothing is raised."""
    keys: set[str] = set()
    for cells in _usable(folder / table.file, table, report):
        try:
            if table.key is not None:
                _check_new(cells.identifier(table.key), keys, table.key)
            yield table.read(cells)
        except UnusableRowError as unusable:
            report.skip(table.file, cells.line, unusable.what, unusable.why)


def count_rows(path: Path, report: Report) -> None:
    """Count the rows of a file that is not imported."""
    for line, _ in _records(path, report):
        if line > 1:
            report.read(path.name)
    report.skip(path.name, None, "not-imported", "nothing of this file is imported", report.rows[path.name])


def _check_new(key: str, keys: set[str], column: str) -> None:
    if key in keys:
        raise UnusableRowError("duplicate", f"an earlier row has the same {column}")
    keys.add(key)


def _usable(path: Path, table: Table[Row], report: Report) -> Iterator[Cells]:
    records = _records(path, report)
    header = [name.strip() for _, row in [next(records, (1, []))] for name in row]
    if not header and path.is_file():
        report.note(table.file, None, "missing-column", "the file has no header")
    if not header or not _complete(header, table, report):
        return
    for line, row in records:
        report.read(table.file)
        refusal = _refusal(row, len(header))
        cells = Cells(table.file, line, dict(zip(header, row, strict=False)), report)
        if refusal is not None:
            report.skip(table.file, line, *refusal)
        elif cells.text("DateDeleted") is not None and not table.keeps_deleted:
            report.skip(table.file, line, "deleted", "DateDeleted is set: the row is withdrawn")
        else:
            yield cells


def _complete(header: list[str], table: Table[Row], report: Report) -> bool:
    missing = [column for column in table.required if column not in header]
    for column in missing:
        report.note(table.file, 1, "missing-column", f"without {column} no row of this file can be read")
    if not missing:
        for column in table.optional:
            if column not in header:
                report.note(table.file, 1, "missing-column", f"{column} is read as empty")
    return not missing


def _refusal(row: list[str], columns: int) -> tuple[What, str] | None:
    if len(row) != columns:
        return "bad-row", f"{len(row)} cells where the header has {columns}"
    try:
        "".join(row).encode()
    except UnicodeEncodeError:
        return "bad-encoding", "a cell is not UTF-8"
    return None


def _records(path: Path, report: Report) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and cells of each record that is not blank, the header first."""
    if not path.is_file():
        report.note(path.name, None, "missing-file", "the export has no such file")
        return
    try:
        # Bytes that are not UTF-8 come through as lone surrogates, so that they cost one row and not the file.
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            yield from _parsed(file, report)
    except OSError:
        report.note(path.name, None, "unreadable-file", "the file cannot be read")


def _parsed(text: TextIO, report: Report) -> Iterator[tuple[int, list[str]]]:
    file, reader = Path(text.name).name, csv.reader(text, strict=True)
    while True:
        try:
            row = next(reader, None)
        except csv.Error:
            report.read(file)
            report.skip(file, reader.line_num, "bad-csv", "quotes or line ends are not those of a CSV file")
            continue
        if row is None:
            return
        if row:
            yield reader.line_num, row


def _day(text: str) -> date | None:
    if not _DATE.fullmatch(text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
