"""Writes what came of an import for a person to read."""

from collections.abc import Iterable
from typing import Final

from services.cli.hmis.imported import Imported
from services.cli.hmis.report import Finding, Report
from services.cli.hmis.results import KINDS, Results

LINES_NAMED: Final = 5
WIDTH: Final = 24
ABOUT_A_FILE: Final = frozenset({"missing-file", "unreadable-file", "missing-column", "more-people-than-beds"})


def told(imported: Imported) -> str:
    """Write the report: rows, what the services made of them, and what was not taken and why."""
    paragraphs = [
        [_heading(imported)],
        _rows(imported.report),
        _results(imported.results),
        _titled("Not taken, or not as it stands:", _findings(imported.report.findings)),
        _titled("Worth knowing:", _remarks(imported.results)),
    ]
    return "\n\n".join("\n".join(lines) for lines in paragraphs if lines)


def _heading(imported: Imported) -> str:
    if imported.source is None:
        return "Nothing is imported: the export does not say whose it is."
    what = f"as {imported.mode}" if imported.only is None else f"{imported.only} only"
    return f"Export of {imported.source}, {what}, in {imported.seconds:.1f} s."


def _rows(report: Report) -> list[str]:
    rows = [(file, report.rows[file], report.taken(file), report.skipped[file]) for file in sorted(report.rows)]
    return _table(("Rows", "read", "taken", "skipped"), rows) if rows else []


def _results(results: Results) -> list[str]:
    rows = [
        (kind, results.made[kind], results.present[kind], results.refused[kind])
        for kind in KINDS
        if results.made[kind] or results.present[kind] or results.refused[kind]
    ]
    people = [f"{len(results.clients)} clients."] if results.clients else []
    return _table(("In Threshold", "new", "was there", "refused"), rows) + people if rows else []


def _table(header: tuple[str, str, str, str], rows: Iterable[tuple[str, int, int, int]]) -> list[str]:
    return [f"{name:<{WIDTH}}{first:>10}{second:>10}{third:>10}" for name, first, second, third in (header, *rows)]


def _titled(title: str, lines: list[str]) -> list[str]:
    return [title, *lines] if lines else []


def _findings(findings: Iterable[Finding]) -> list[str]:
    """One line for all findings that say the same of a file."""
    same: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        same.setdefault((finding.file, finding.why), []).append(finding)
    return [f"  {file}{_where(each)}: {why}" for (file, why), each in same.items()]


def _where(findings: list[Finding]) -> str:
    lines = [str(finding.line) for finding in findings if finding.line is not None]
    if lines:
        more = f" and {len(lines) - LINES_NAMED} more" if len(lines) > LINES_NAMED else ""
        return f", line{'s' if len(lines) > 1 else ''} {', '.join(lines[:LINES_NAMED])}{more}"
    if findings[0].what in ABOUT_A_FILE:
        return ""
    count = sum(finding.rows for finding in findings)
    return f", {count} row{'s' if count > 1 else ''}"


def _remarks(results: Results) -> list[str]:
    return [
        f"  {each.kind}, {each.about}{f' ({count} times)' if count > 1 else ''}: {each.why}"
        for each, count in results.remarks.items()
    ]
