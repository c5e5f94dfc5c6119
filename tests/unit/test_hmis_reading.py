"""Reading an export: typed rows, and for everything malformed one line of the report, never a value or a traceback."""

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.categories import CATEGORY_MODELS, segment
from services.cli.hmis.malformations import MALFORMATIONS, malform
from services.cli.hmis.plan import Plan
from services.cli.hmis.reading import FILES, read_export
from services.cli.hmis.report import Finding, Report
from services.cli.hmis.rows import Client, Enrollment, Export, HealthAndDv
from services.cli.hmis.segments import (
    CLIENT_COLUMNS,
    ENROLLMENT_COLUMNS,
    HEALTH_AND_DV_COLUMNS,
    columns_of,
    field_name,
)
from services.cli.hmis.variants import Variant
from tests.support.hmis import SAMPLE, planned, variant

ALL_COLUMNS = {
    "Client.csv": CLIENT_COLUMNS,
    "Enrollment.csv": ENROLLMENT_COLUMNS,
    "HealthAndDV.csv": HEALTH_AND_DV_COLUMNS,
}


def _read(folder: Path) -> tuple[Export, Report]:
    report = Report()
    return read_export(folder, report), report


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return variant(tmp_path / "export", Variant(clients=60))


def test_the_sample_is_read_whole() -> None:
    export, report = _read(SAMPLE)
    assert export.source is not None
    assert export.source.id == "1106"
    counts = {
        name: len(getattr(export, name))
        for name in (
            "organizations",
            "projects",
            "participations",
            "clients",
            "enrollments",
            "exits",
            "health",
            "events",
            "inventories",
            "bed_nights",
        )
    }
    assert counts == {
        "organizations": 10,
        "projects": 10,
        "participations": 10,
        "clients": 514,
        "enrollments": 574,
        "exits": 447,
        "health": 1181,
        "events": 19,
        "inventories": 49,
        "bed_nights": 6385,
    }
    noted = [finding for finding in report.findings if finding.what != "not-imported"]
    assert noted == [Finding("Export.csv", 2, "bad-date", "ExportDate is not YYYY-MM-DD HH:MM:SS; it is not used")]
    assert report.rows["Services.csv"] == report.taken("Services.csv") == 6385
    assert report.taken("User.csv") == 0


def test_every_segment_of_the_sample_is_a_valid_category() -> None:
    export, _ = _read(SAMPLE)
    rows: list[Client | Enrollment | HealthAndDv] = [*export.clients, *export.enrollments, *export.health]
    for row in rows:
        for category, fields in row.segments.items():
            assert segment(category, fields) == fields


@pytest.mark.parametrize("file", ALL_COLUMNS)
def test_every_column_that_is_sealed_exists_and_has_its_field(file: str) -> None:
    with (SAMPLE / file).open(newline="") as source:
        header = next(csv.reader(source))
    assert set(columns_of(ALL_COLUMNS[file])) <= set(header)
    for category, columns in ALL_COLUMNS[file].items():
        assert {field_name(column) for column in columns} <= set(CATEGORY_MODELS[category].model_fields)


@pytest.mark.parametrize(
    ("column", "field"),
    [
        ("SSNDataQuality", "ssn_data_quality"),
        ("RelationshipToHoH", "relationship_to_hoh"),
        ("EnrollmentCoC", "enrollment_coc"),
        ("CoCPrioritized", "coc_prioritized"),
        ("HOHLeaseholder", "hoh_leaseholder"),
        ("AmIndAKNative", "am_ind_ak_native"),
        ("HH5Plus", "hh5_plus"),
        ("WorldWarII", "world_war_ii"),
    ],
)
def test_field_names_are_hud_s_in_snake_case(column: str, field: str) -> None:
    assert field_name(column) == field


@pytest.fixture(scope="module")
def sample() -> tuple[Plan, Report]:
    return planned(SAMPLE)


EXPECTED: dict[str, tuple[str, int | None, str] | None] = {
    "byte-order-mark": None,
    "columns-reversed": None,
    "all-quoted": None,
    "file-missing": ("HealthAndDV.csv", None, "missing-file"),
    "file-empty": ("Exit.csv", None, "missing-column"),
    "source-missing": ("Export.csv", None, "missing-file"),
    "column-missing": ("Client.csv", 1, "missing-column"),
    "key-column-missing": ("Event.csv", 1, "missing-column"),
    "date-bad": ("Client.csv", 2, "bad-date"),
    "event-date-bad": ("Event.csv", 4, "bad-date"),
    "code-bad": ("Client.csv", 2, "bad-code"),
    "event-code-bad": ("Event.csv", 4, "bad-code"),
    "code-fractional": ("Enrollment.csv", 2, "bad-code"),
    "name-with-nul": ("Client.csv", 2, "bad-value"),
    "identifier-empty": ("Client.csv", 2, "missing-value"),
    "provider-flag-bad": ("Organization.csv", 2, "bad-code"),
    "row-short": ("Client.csv", 516, "bad-row"),
    "row-repeated": ("Client.csv", 516, "duplicate"),
    "quote-open": ("Client.csv", 516, "bad-csv"),
    "not-utf-8": ("Client.csv", 2, "bad-encoding"),
}


def test_every_malformation_has_its_expected_line() -> None:
    assert set(EXPECTED) == set(MALFORMATIONS)


@pytest.mark.parametrize("name", MALFORMATIONS)
def test_a_malformation_costs_a_line_of_the_report_and_no_more(
    name: str, tmp_path: Path, sample: tuple[Plan, Report]
) -> None:
    whole, whole_report = sample
    folder = variant(tmp_path / "export", Variant())
    malform(folder, name)
    plan, report = planned(folder)
    new = set(report.findings) - set(whole_report.findings)
    expected = EXPECTED[name]
    if expected is None:
        assert (plan, report) == (whole, whole_report)
    else:
        assert expected in {(finding.file, finding.line, finding.what) for finding in new}
        assert len(plan.organizations) == (0 if name == "source-missing" else 10)


def test_no_finding_repeats_a_value_of_a_person(tmp_path: Path) -> None:
    folder = variant(tmp_path / "export", Variant())
    for name in MALFORMATIONS:
        if "missing" not in name:
            malform(folder, name)
    plan, report = planned(folder)
    assert len(report.findings) > 40
    text = " ".join(finding.why for finding in report.findings)
    for value in _personal_values():
        assert value not in text
    assert plan.organizations


def _personal_values() -> Iterator[str]:
    with (SAMPLE / "Client.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            yield from (row[column] for column in ("PersonalID", "SSN", "DOB") if row[column])
            yield from (row[column] for column in ("FirstName", "LastName") if len(row[column]) > 6)


def test_a_withdrawn_row_is_skipped(copy: Path) -> None:
    with (copy / "Client.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows[3]["DateDeleted"] = "2022-10-01 08:00:00"
    with (copy / "Client.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    export, report = _read(copy)
    assert rows[3]["PersonalID"] not in {client.id for client in export.clients}
    assert Finding("Client.csv", 5, "deleted", "DateDeleted is set: the row is withdrawn") in report.findings
    assert (report.rows["Client.csv"], report.taken("Client.csv")) == (60, 59)


def test_a_folder_that_is_none_is_a_report_of_missing_files(tmp_path: Path) -> None:
    plan, report = planned(tmp_path / "nowhere")
    assert plan.organizations == ()
    assert {finding.file for finding in report.findings if finding.what == "missing-file"} == FILES


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return variant(tmp_path_factory.mktemp("small") / "export", Variant(clients=15))


@settings(max_examples=60, deadline=None)
@given(
    position=st.floats(0, 1, exclude_max=True),
    junk=st.binary(min_size=1, max_size=12),
    file=st.sampled_from(sorted(FILES)),
)
def test_no_bytes_anywhere_raise(position: float, junk: bytes, file: str, small: Path) -> None:
    raw = (small / file).read_bytes()
    at = int(position * len(raw))
    try:
        (small / file).write_bytes(raw[:at] + junk + raw[at + len(junk) :])
        plan, report = planned(small)
    finally:
        (small / file).write_bytes(raw)
    assert all(report.taken(name) >= 0 for name in report.rows)
    assert len(plan.clients) <= 16  # junk with a line end can split a row in two
