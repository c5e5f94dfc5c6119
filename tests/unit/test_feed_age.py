"""A report is fresh, due or overdue by its unit's own rhythm."""

from datetime import UTC, datetime, timedelta

import pytest

from schemas.beds import Unit
from services.shelter_beds.feed.age import ReportAge, report_age
from tests.support.said_units import said_unit

TWICE_A_DAY = said_unit("a", reported_at="2026-01-10T02:00:00.000000Z", report_due_by="2026-01-10T14:00:00.000000Z")
HOURLY = said_unit("b", reported_at="2026-01-10T02:00:00.000000Z", report_due_by="2026-01-10T03:00:00.000000Z")
SAID_AT = datetime(2026, 1, 10, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("unit", "minutes", "expected"),
    [
        (TWICE_A_DAY, 0, ReportAge("fresh", 0, 0)),
        (TWICE_A_DAY, 719, ReportAge("fresh", 719, 0)),
        (TWICE_A_DAY, 720, ReportAge("due", 720, 0)),
        (TWICE_A_DAY, 1079, ReportAge("due", 1079, 359)),
        (TWICE_A_DAY, 1080, ReportAge("overdue", 1080, 360)),
        (HOURLY, 59, ReportAge("fresh", 59, 0)),
        (HOURLY, 89, ReportAge("due", 89, 29)),
        (HOURLY, 90, ReportAge("overdue", 90, 30)),
        (HOURLY, -5, ReportAge("fresh", 0, 0)),
        (said_unit("c"), 5, ReportAge("unreported")),
    ],
)
def test_the_same_age_means_another_thing_to_another_rhythm(unit: Unit, minutes: int, expected: ReportAge) -> None:
    assert report_age(unit, SAID_AT + timedelta(minutes=minutes)) == expected
