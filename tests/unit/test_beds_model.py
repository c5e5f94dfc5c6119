"""Beds without a database: what a census makes of holds, seasons, hours on days when the clock changes, door codes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.shelter_beds import door_codes
from services.shelter_beds.model import (
    Census,
    Counts,
    HoldState,
    Season,
    free_by,
    next_reset,
    next_wake,
    status_of,
)

COUNTED = datetime(2026, 1, 15, 20, tzinfo=UTC)
EARLIER, LATER = COUNTED - timedelta(minutes=5), COUNTED + timedelta(minutes=5)
CHICAGO, LORD_HOWE = ZoneInfo("America/Chicago"), ZoneInfo("Australia/Lord_Howe")
IN_SERVICE = 10


@dataclass
class Hold:
    """As much of a hold as a census must know."""

    bed_ids: list[str]
    state: HoldState
    placed_at: datetime | None


def hold(state: HoldState, placed_at: datetime | None, beds: int = 1) -> Hold:
    return Hold([str(number) for number in range(beds if placed_at else 0)], state, placed_at)


@pytest.mark.parametrize(
    ("state", "placed_at", "with_holds", "without_holds"),
    [
        # Four beds were empty; with the beds on hold among them, or without.
        ("placed", EARLIER, 3, 4),
        ("requested", None, 4, 4),  # it has no bed
        ("expired", None, 4, 4),  # nor had it one
        ("placed", LATER, 3, 3),  # it was empty when they counted, whatever they think of holds
        ("released", EARLIER, 4, 5),  # let go since: only who left it out counts it anew
        ("expired", EARLIER, 4, 5),
        ("released", LATER, 4, 4),  # came and went since
        ("checked_in", EARLIER, 3, 4),
        ("checked_in", LATER, 3, 3),
    ],
)
def test_a_census_and_a_hold(state: HoldState, placed_at: datetime | None, with_holds: int, without_holds: int) -> None:
    one = [hold(state, placed_at)]
    assert free_by(Census(COUNTED, True, available=4), IN_SERVICE, one) == with_holds
    assert free_by(Census(COUNTED, False, available=4), IN_SERVICE, one) == without_holds
    # "Six are taken" with the beds on hold among them leaves four that are empty without those.
    assert free_by(Census(COUNTED, True, occupied=6), IN_SERVICE, one) == without_holds
    assert free_by(Census(COUNTED, False, occupied=6), IN_SERVICE, one) == with_holds


HOLDS = st.lists(
    st.builds(
        hold,
        st.sampled_from(["placed", "checked_in", "released", "expired"]),
        st.sampled_from([EARLIER, LATER]),
        st.integers(1, 4),
    ),
    max_size=6,
)


@given(number=st.integers(0, IN_SERVICE), includes_holds=st.booleans(), holds=HOLDS)
def test_a_census_is_what_a_hand_that_moves_markers_would_come_to(
    number: int, includes_holds: bool, holds: list[Hold]
) -> None:
    """Play the beds forward from the moment of the count, one step of a hold at a time."""
    empty = number
    for one in holds:
        beds = len(one.bed_ids)
        on_hold_then = one.placed_at is not None and one.placed_at < COUNTED
        if on_hold_then and includes_holds:
            empty -= beds  # counted as empty, and not free
        if not on_hold_then:
            empty -= beds
        if one.state in {"released", "expired"}:
            empty += beds
    assert free_by(Census(COUNTED, includes_holds, available=number), IN_SERVICE, holds) == empty


@given(number=st.integers(0, IN_SERVICE), includes_holds=st.booleans(), holds=HOLDS)
def test_empty_and_taken_are_two_ways_to_say_the_same(number: int, includes_holds: bool, holds: list[Hold]) -> None:
    empty = Census(COUNTED, includes_holds, available=number)
    taken = Census(COUNTED, not includes_holds, occupied=IN_SERVICE - number)
    assert free_by(empty, IN_SERVICE, holds) == free_by(taken, IN_SERVICE, holds)


def test_a_count_that_holds_exceed_is_below_zero() -> None:
    many: Sequence[Hold] = [hold("placed", LATER, beds=3)]
    assert free_by(Census(COUNTED, False, available=1), IN_SERVICE, many) == -2


@pytest.mark.parametrize(
    ("opens_on", "closes_on", "days"),
    [
        (None, None, [True, True, True, True]),
        (date(2026, 11, 2), None, [False, True, True, True]),
        (None, date(2026, 11, 3), [True, True, False, False]),
        (date(2026, 11, 2), date(2026, 11, 4), [False, True, True, False]),
    ],
)
def test_a_season_is_open_until_before_it_closes(
    opens_on: date | None, closes_on: date | None, days: list[bool]
) -> None:
    season = Season(opens_on, closes_on)
    assert [season.holds(date(2026, 11, day)) for day in range(1, 5)] == days


@pytest.mark.parametrize(
    ("counts", "in_season", "said", "status"),
    [
        (Counts(available=1), True, None, "capacity"),
        (Counts(held=1, occupied=4, offline=1), True, None, "no-capacity"),
        (Counts(available=1), True, "waitlist", "waitlist"),
        (Counts(available=1), False, "waitlist", "no-capacity"),
    ],
)
def test_status(counts: Counts, in_season: bool, said: Any, status: str) -> None:
    assert status_of(counts, in_season=in_season, said=said) == status


@pytest.mark.parametrize(
    ("zone", "after", "resets_at", "expected"),
    [
        (CHICAGO, "2026-01-15T09:59:00-06:00", "10:00", "2026-01-15T10:00:00-06:00"),
        (CHICAGO, "2026-01-15T10:00:00-06:00", "10:00", "2026-01-16T10:00:00-06:00"),  # the moment itself is over
        (CHICAGO, "2026-03-07T10:00:00-06:00", "10:00", "2026-03-08T10:00:00-05:00"),  # 23 hours
        (CHICAGO, "2026-10-31T10:00:00-05:00", "10:00", "2026-11-01T10:00:00-06:00"),  # 25 hours
        (CHICAGO, "2026-03-07T12:00:00-06:00", "02:30", "2026-03-08T03:30:00-05:00"),  # 02:30 is skipped
        (CHICAGO, "2026-03-08T03:30:00-05:00", "02:30", "2026-03-09T02:30:00-05:00"),  # and does not come again
        (CHICAGO, "2026-10-31T12:00:00-05:00", "01:30", "2026-11-01T01:30:00-05:00"),  # 01:30 is twice: the first
        (CHICAGO, "2026-11-01T01:30:00-05:00", "01:30", "2026-11-02T01:30:00-06:00"),  # the second is not another
        (LORD_HOWE, "2026-10-03T12:00:00+10:30", "02:15", "2026-10-04T02:45:00+11:00"),  # half an hour is skipped
    ],
)
def test_the_next_reset(zone: ZoneInfo, after: str, resets_at: str, expected: str) -> None:
    found = next_reset(datetime.fromisoformat(after), zone, time.fromisoformat(resets_at))
    assert found == datetime.fromisoformat(expected)


MOMENTS = st.integers(1_735_689_600, 1_830_297_600).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
ZONES = st.sampled_from([CHICAGO, LORD_HOWE, ZoneInfo("Europe/Berlin"), ZoneInfo("America/St_Johns"), ZoneInfo("UTC")])
CLOCKS = st.builds(time, st.integers(0, 23), st.integers(0, 59))


@given(after=MOMENTS, zone=ZONES, resets_at=CLOCKS)
def test_a_unit_resets_once_a_day_whatever_the_clock_does(after: datetime, zone: ZoneInfo, resets_at: time) -> None:
    days = []
    for _ in range(4):
        following = next_reset(after, zone, resets_at)
        assert after < following <= after + timedelta(hours=26)
        after = following
        days.append(following.astimezone(zone).date())
    assert days == [days[0] + timedelta(days=number) for number in range(4)]


@given(now=MOMENTS, zone=ZONES, resets_at=CLOCKS, days=st.integers(-3, 3))
def test_a_unit_wakes_for_whatever_comes_first(now: datetime, zone: ZoneInfo, resets_at: time, days: int) -> None:
    today = now.astimezone(zone).date()
    season = Season(opens_on=today + timedelta(days=days))
    wakes = next_wake(now, zone, season, resets_at, now)
    assert wakes is not None
    assert now < wakes <= next_reset(now, zone, resets_at)
    alone = next_wake(now, zone, season, None, now)
    assert (alone is None) == (days <= 0)
    if alone is not None:
        assert season.holds(alone.astimezone(zone).date())
        assert not season.holds((alone - timedelta(seconds=1)).astimezone(zone).date())


@given(word=st.sampled_from(door_codes.WORDS), number=st.integers(10, 99), gap=st.sampled_from(["", " ", "-", " - "]))
def test_a_code_is_heard_however_it_is_typed(word: str, number: int, gap: str) -> None:
    for typed in (f"{word}{gap}{number}", f"  {word.lower()}{gap}{number} ", f"{word.title()}{gap}{number}\n"):
        assert door_codes.heard(typed) == f"{word}-{number}"


@given(st.text(max_size=20))
def test_what_is_heard_is_a_code_or_nothing(text: str) -> None:
    heard = door_codes.heard(text)
    if heard is not None:
        assert re.fullmatch(r"[A-Z]+-[0-9]{2}", heard, re.ASCII)
        assert door_codes.heard(heard) == heard


@pytest.mark.parametrize("text", ["", "BLUE", "42", "BLUE-4", "BLUE-421", "BLUE--X2", "BLUE ٤٢", "ÉTÉ-42", "BLUE-42 x"])
def test_what_is_no_code(text: str) -> None:
    assert door_codes.heard(text) is None


def test_a_new_code_is_none_of_those_at_the_door() -> None:
    every = {f"{word}-{number}" for word in door_codes.WORDS for number in range(10, 100)}
    assert door_codes.new(every - {"BLUE-42"}) == "BLUE-42"
    assert door_codes.new(()) in every
    assert len(set(door_codes.WORDS)) == len(door_codes.WORDS) == 64
