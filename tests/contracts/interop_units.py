"""Units of every kind there is to show, and the time at which they are shown."""

from datetime import UTC, datetime
from typing import Any, Final

from schemas.beds import Unit
from tests.contracts.bed_examples import unit

NOW: Final = datetime(2026, 11, 26, 2, 0, tzinfo=UTC)
_NO_COUNTS: Final[dict[str, Any]] = dict.fromkeys(("maximum", "available", "held", "occupied", "offline"))
# fmt: off
_NOTHING_OF_ITS_PLACE: Final[dict[str, Any]] = dict.fromkeys((
    "project", "project_type", "area", "opens_on", "closes_on", "minimum_age", "maximum_age", "eligibility",
    "intake_from", "intake_until", "last_in",
))
# fmt: on


def full(**changes: Any) -> Unit:
    """A unit that shows all."""
    return unit(**{"unit_id": "0f" * 16} | changes)


def small(**changes: Any) -> Unit:
    """A unit that shows but whether there is room."""
    return full(**{"unit_id": "1f" * 16, "shown": "yes_no", "name": "Small House"} | _NO_COUNTS | changes)


def confidential(**changes: Any) -> Unit:
    """A unit that nobody may find."""
    hidden: dict[str, Any] = {"confidential": True, "bring": ()}
    hidden |= dict.fromkeys(("accessible", "pets", "couples", "low_barrier"), False)
    said = {"unit_id": "2f" * 16, "organization": "safe-house", "organization_name": "Safe House", "name": "Safe House"}
    return small(**hidden | said | _NOTHING_OF_ITS_PLACE | changes)


def by_phone(**changes: Any) -> Unit:
    """A unit that is to be called."""
    asked: dict[str, Any] = {"unit_id": "3f" * 16, "shown": "call", "open": None, "hold_policy": "none", "name": "Call"}
    reports: dict[str, Any] = {"reported_at": None, "report_due_by": None, "maximum_hold_minutes": None}
    return small(**asked | reports | {"status": "additional-assessment-required"} | changes)


EVERY_KIND: Final = (full(), small(), confidential(), by_phone())
