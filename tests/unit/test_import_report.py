"""The report of an import as a person reads it, and how the command refuses what it cannot begin."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.cli.hmis.imported import Imported
from services.cli.hmis.printing import told
from services.cli.hmis.report import Report
from services.cli.hmis.results import Results
from tests.support.hmis import SAMPLE


def imported(report: Report, results: Results, source: str | None = "hmis1") -> Imported:
    return Imported(source, "history", only=None, report=report, results=results, seconds=1.25)


def test_findings_that_say_the_same_are_one_line() -> None:
    report = Report()
    for line in range(2, 10):
        report.read("Event.csv")
        report.skip("Event.csv", line, "not-a-referral", "event 4 refers to no opening")
    report.skip("Exit.csv", None, "not-needed", "about nobody", rows=441)
    report.note("HealthAndDV.csv", None, "missing-file", "the export has no such file")
    lines = told(imported(report, Results())).splitlines()
    assert "Event.csv                        8         0         8" in lines
    assert "  Event.csv, lines 2, 3, 4, 5, 6 and 3 more: event 4 refers to no opening" in lines
    assert "  Exit.csv, 441 rows: about nobody" in lines
    assert "  HealthAndDV.csv: the export has no such file" in lines


def test_what_the_services_made_and_refused_is_counted_by_kind() -> None:
    results = Results()
    results.count("referrals", present=False)
    results.count("referrals", present=True)
    for _ in range(2):
        results.refuse("referrals", "event 7 to hmis1-she", "invalid-body: must not be in the future (occurred_at)")
    whole = imported(Report(), results)
    assert not whole.complete
    text = told(whole)
    assert text.startswith("Export of hmis1, as history, in 1.2 s.")
    assert "referrals                        1         1         2" in text
    why = "invalid-body: must not be in the future (occurred_at)"
    assert f"  referrals, event 7 to hmis1-she (2 times): {why}" in text
    assert whole.as_json()["results"]["referrals"] == {"made": 1, "present": 1, "refused": 2}
    assert whole.as_json()["remarks"] == [
        {"kind": "referrals", "about": "event 7 to hmis1-she", "why": why, "count": 2}
    ]


def test_an_export_of_nobody_is_not_complete() -> None:
    nothing = imported(Report(), Results(), source=None)
    assert not nothing.complete
    assert told(nothing) == "Nothing is imported: the export does not say whose it is."


@pytest.mark.parametrize(
    ("folder", "sentence"),
    [
        (SAMPLE, "threshold: Nothing runs in {home}: start `threshold up` there, or set THRESHOLD_HOME"),
        (SAMPLE / "Client.csv", "threshold: {folder} holds no HMIS CSV export"),
        (SAMPLE.parent, "threshold: {folder} holds no HMIS CSV export"),
        (SAMPLE / "nowhere", "threshold: {folder} holds no HMIS CSV export"),
    ],
    ids=["no-stack", "a-file", "another-folder", "no-folder"],
)
def test_what_cannot_begin_is_said_in_one_sentence(tmp_path: Path, folder: Path, sentence: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "services.cli", "import", "hmis-csv", str(folder)],
        env={**os.environ, "THRESHOLD_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
    assert ran.stderr.startswith(sentence.format(home=tmp_path, folder=folder))
