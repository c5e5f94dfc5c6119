"""How old what a shelter said of its beds is, against how often it says it; pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from schemas.beds import Unit

State = Literal["fresh", "due", "overdue", "unreported"]

GRACE: Final = 0.5
"""By how much of its own rhythm a report may be late before it is overdue."""
MINUTE: Final = timedelta(minutes=1)


@dataclass(frozen=True)
class ReportAge:
    """A unit's last report: `minutes` ago, `late` minutes after the next was due; None without a report."""

    state: State
    minutes: int | None = None
    late: int | None = None


def report_age(unit: Unit, now: datetime) -> ReportAge:
    """Return how old a unit's last report is at `now` (aware).

    Fresh until the next is due by the unit's own rhythm, then due, and overdue once half a rhythm more has passed.
    """
    if unit.reported_at is None or unit.report_due_by is None:
        return ReportAge("unreported")
    reported, due = datetime.fromisoformat(unit.reported_at), datetime.fromisoformat(unit.report_due_by)
    minutes = max(0, (now - reported) // MINUTE)
    if now < due:
        return ReportAge("fresh", minutes, 0)
    state: State = "due" if now < due + (due - reported) * GRACE else "overdue"
    return ReportAge(state, minutes, (now - due) // MINUTE)
