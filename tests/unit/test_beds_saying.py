"""What is public of a unit: its numbers as far as it shows them, and nothing by which a confidential one is found."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.shelter_beds import saying
from services.shelter_beds.model import Counts
from services.shelter_beds.profile import UnitProfile
from services.shelter_beds.tables import Unit

NOW = datetime(2026, 1, 15, 20, 47, 31, tzinfo=UTC)
SECRETS = ("canary-name", "canary-area", "canary-eligibility", "canary-delegate", "canary-external", "canary-project")
PROFILE = UnitProfile(
    name=SECRETS[0],
    area=SECRETS[1],
    eligibility=SECRETS[2],
    delegates=(SECRETS[3],),
    external_id=SECRETS[4],
    household_type="with_children",
    phone="555 0100",
    intake_from=time(16),
)
COUNTS = Counts(available=2, held=1, occupied=3, offline=1)
EVERYTHING: dict[str, Any] = {}
YES_NO = {"shown": "yes_no", "hold_policy": "request"}
CALL = {"shown": "call", "hold_policy": "none"}
NUMBERS = {"available", "held", "occupied", "offline", "maximum"}


def public(counts: Counts = COUNTS, said: dict[str, Any] = EVERYTHING, reported_at: datetime = NOW) -> dict[str, Any]:
    """What is public of a unit, as JSON."""
    profile = UnitProfile.model_validate(PROFILE.model_dump() | said)
    unit = Unit(
        id="u1",
        organization="harbor-shelter",
        organization_name="Harbor Shelter",
        project=SECRETS[5],
        project_type=0,
        profile=profile.model_dump(mode="json"),
        version=3,
        updated_at=NOW,
        last_reset_at=NOW,
        created_at=NOW,
        reported_at=reported_at,
    )
    shown: dict[str, Any] = msgspec.to_builtins(saying.public(unit, profile, counts, NOW))
    return shown


def test_all_counts() -> None:
    shown = public()
    assert {name: shown[name] for name in NUMBERS} == {
        "available": 2,
        "held": 1,
        "occupied": 3,
        "offline": 1,
        "maximum": 7,
    }
    assert (shown["open"], shown["status"], shown["reported_at"]) == (True, "capacity", "2026-01-15T20:47:31.000000Z")
    assert shown["report_due_by"] == "2026-01-16T08:47:31.000000Z"
    assert not {SECRETS[3], SECRETS[4]} & set(map(str, shown.values()))


def test_yes_or_no_tells_nothing_else_of_the_numbers() -> None:
    shown = public(said=YES_NO)
    assert (shown["open"], shown["status"], shown["reported_at"]) == (True, "capacity", "2026-01-15T20:00:00.000000Z")
    assert not NUMBERS & {name for name, value in shown.items() if value is not None}
    for other in (replace(COUNTS, available=1, held=2), replace(COUNTS, available=7, held=0, occupied=9, offline=3)):
        assert public(other, YES_NO) == shown
    full = public(Counts(occupied=3), YES_NO)
    assert (full["open"], full["status"]) == (False, "no-capacity")


def test_who_wants_to_be_called_tells_nothing_of_the_numbers() -> None:
    shown = public(said=CALL)
    assert (shown["status"], shown.get("open"), shown["phone"]) == ("additional-assessment-required", None, "555 0100")
    assert public(Counts(occupied=3), CALL, NOW - timedelta(days=2)) == shown


def test_a_confidential_unit_has_a_telephone_number_and_no_place() -> None:
    shown = public(said=YES_NO | {"confidential": True})
    assert (shown["name"], shown["phone"], shown["open"]) == ("Harbor Shelter", "555 0100", True)
    assert not [secret for secret in SECRETS if secret in str(shown)]
    assert not {"project", "area", "intake_from", *NUMBERS} & {
        name for name, value in shown.items() if value is not None
    }


@given(
    counts=st.builds(Counts, *[st.integers(0, 30)] * 4),
    shown=st.sampled_from(["counts", "yes_no"]),
    season=st.sampled_from([None, date(2026, 1, 16)]),
)
def test_what_is_public_adds_up(counts: Counts, shown: str, season: date | None) -> None:
    seen = public(counts, {"shown": shown, "opens_on": season, "hold_policy": "request"})
    assert seen["open"] == (season is None and counts.available > 0)
    if shown == "counts":
        assert seen["maximum"] == sum(seen[name] for name in NUMBERS - {"maximum"}) == counts.maximum
        assert seen["held"] == counts.held  # who holds a bed keeps it, whatever the season
        assert season is None or seen["available"] == 0
