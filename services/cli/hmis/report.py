"""What an import took, what it skipped and why: files, lines and columns, never a value of a row."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

What = Literal[
    "missing-file",
    "missing-column",
    "unreadable-file",
    "bad-csv",
    "bad-row",
    "bad-encoding",
    "bad-date",
    "bad-code",
    "bad-value",
    "missing-value",
    "other-version",
    "deleted",
    "duplicate",
    "unknown-reference",
    "contradiction",
    "not-imported",
    "not-needed",
    "not-a-referral",
    "no-recipient",
    "no-location",
    "result-not-sent",
    "within-organization",
    "household-without-head",
    "need-alone",
    "not-lodging",
    "not-in-force",
    "superseded",
    "confidential",
    "voucher",
    "bed-number",
    "nobody-counted",
    "mapped",
    "more-people-than-beds",
]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; `line` is that of the file (1 is its header), `rows` how many rows it speaks of."""

    file: str
    line: int | None
    what: What
    why: str
    rows: int = 1


@dataclass(slots=True)
class Report:
    """Collects findings and counts; a row that is not skipped is taken."""

    findings: list[Finding] = field(default_factory=list)
    rows: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)

    def read(self, file: str) -> None:
        """Count one row of a file."""
        self.rows[file] += 1

    def note(self, file: str, line: int | None, what: What, why: str) -> None:
        """Say something about a row, or a file, that is taken all the same."""
        self.findings.append(Finding(file, line, what, why))

    def skip(self, file: str, line: int | None, what: What, why: str, rows: int = 1) -> None:
        """Say why rows are not taken."""
        if rows:
            self.skipped[file] += rows
            self.findings.append(Finding(file, line, what, why, rows))

    def taken(self, file: str) -> int:
        """Count the rows of a file that were taken."""
        return self.rows[file] - self.skipped[file]

    def as_json(self) -> dict[str, Any]:
        """Give the report as JSON values: `files` with their counts, `findings` in the order they were made."""
        files = {
            file: {"rows": self.rows[file], "taken": self.taken(file), "skipped": self.skipped[file]}
            for file in sorted(self.rows)
        }
        findings = [
            {"file": each.file, "line": each.line, "what": each.what, "why": each.why, "rows": each.rows}
            for each in self.findings
        ]
        return {"files": files, "findings": findings}
