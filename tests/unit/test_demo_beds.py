"""The replay of recorded nights: which year it plays, and how it refuses what it cannot begin."""

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from services.cli.demo.beds import Nights, busiest_year
from services.cli.hmis.client import CannotImport
from services.cli.hmis.mapping import recorded_beds
from services.cli.hmis.reading import read_export
from services.cli.hmis.report import Report
from tests.support.hmis import SAMPLE


def test_the_busiest_year_is_a_federal_one() -> None:
    recorded = {date(2021, 9, 30): 3, date(2021, 10, 1): 2, date(2022, 9, 30): 2, date(2022, 10, 1): 3}
    assert busiest_year(recorded) == Nights(date(2021, 10, 1), date(2022, 9, 30))
    assert busiest_year(recorded | {date(2021, 9, 30): 5}) == Nights(date(2020, 10, 1), date(2021, 9, 30))
    with pytest.raises(CannotImport, match="--from and --until"):
        busiest_year({})


def test_the_samples_year_has_a_night_a_day() -> None:
    found = recorded_beds(read_export(SAMPLE, Report()), date(2026, 11, 23))
    assert found is not None
    _, occupancy = found
    nights = list(busiest_year(occupancy.recorded))
    assert (nights[0], nights[-1], len(nights)) == (date(2021, 10, 1), date(2022, 9, 30), 365)
    assert sum(occupancy.recorded.values()) == 6385
    assert sum(occupancy.recorded.get(night, 0) for night in nights) == 5737


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        ((), 1, "threshold: Nothing runs in "),
        (("--from", "2022-01-02"), 2, "--from and --until go together"),
        (("--from", "2022-01-02", "--until", "2022-01-01"), 2, "--from and --until go together"),
        (("--speed", "0"), 2, "--speed"),
    ],
)
def test_what_cannot_begin_is_said(arguments: tuple[str, ...], code: int, sentence: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "services.cli", "demo", "beds", "--replay", str(SAMPLE), *arguments]
    environment = {**os.environ, "THRESHOLD_HOME": str(tmp_path), "COLUMNS": "200", "TERM": "dumb"}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (code, "")
    assert sentence in ran.stderr
    assert "Traceback" not in ran.stderr
