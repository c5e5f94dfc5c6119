"""The sample export that stands beside the project, and its variants."""

from datetime import date
from pathlib import Path

from services.cli.hmis.mapping import plan_import
from services.cli.hmis.plan import Plan
from services.cli.hmis.reading import read_export
from services.cli.hmis.report import Report
from services.cli.hmis.variants import Variant, write_variant

SAMPLE = Path(__file__).parents[2].parent / "shared" / "hmis-csv-fy2026"
TODAY = date(2026, 11, 23)


def planned(folder: Path) -> tuple[Plan, Report]:
    """Read and map an export folder."""
    report = Report()
    return plan_import(read_export(folder, report), report, TODAY), report


def variant(target: Path, chosen: Variant) -> Path:
    """Write a variant of the sample to a folder that does not exist yet."""
    write_variant(SAMPLE, target, chosen)
    return target
