"""The view of the log: whoever is told what changed since it stood somewhere knows what one who heard all knows."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas.beds import Unit
from services.kit.broker import Record
from services.kit.relay import HELD
from services.shelter_beds.feed.filters import EVERYTHING, Filter
from services.shelter_beds.feed.position import Position, parsed
from services.shelter_beds.feed.rhythm import Pace
from services.shelter_beds.feed.view import REMEMBERED, Availability, Known, split, split_blind
from tests.support.said_units import record_of, said_unit

PETS, TRIAL = Filter(pets=True), Filter(test=True)
UNITS = st.builds(
    said_unit,
    st.sampled_from("abcde"),
    pets=st.booleans(),
    withdrawn=st.booleans(),
    test=st.booleans(),
    available=st.integers(0, 9),
)


def test_only_the_newest_of_each_unit_is_told_in_the_order_of_the_log() -> None:
    view = Availability()
    changes = view.apply([record_of(said_unit(name, available=n), n) for n, name in enumerate("abab")], 4)
    assert [(change.now.unit_id, change.now.offset) for change in changes.changes] == [("a", 2), ("b", 3)]
    assert (changes.since, changes.upto, view.next_offset) == (-1, 3, 4)
    assert [known.offset for known in view.since(2)] == [3]


def test_a_record_that_comes_again_takes_nothing_back() -> None:
    view = Availability()
    records = [record_of(said_unit("a", available=n, version=n, withdrawn=n == 3), n) for n in range(1, 4)]
    records.append(record_of(said_unit("b"), 4))
    view.apply(records, 5)
    again = [replace(record, offset=record.offset + 4) for record in records]
    for record in again:
        changes = view.apply([record], record.offset + 1)
        assert (changes.changes, changes.upto) == ([], record.offset)
        assert [unit.unit_id for unit in view.units()] == ["b"]
    assert view.since(4) == []
    restored = view.apply([record_of(said_unit("b", version=1, available=9), 9)], 10)
    assert [change.now.unit_id for change in restored.changes] == ["b"], "an older version from a restored database"


def test_what_is_remembered_of_records_has_a_bound() -> None:
    view = Availability()
    view.apply([record_of(said_unit("a"), offset) for offset in range(REMEMBERED + 9)], REMEMBERED + 9)
    assert len(view._remembered) == REMEMBERED
    assert REMEMBERED > 2 * HELD


def test_a_unit_that_is_withdrawn_or_can_not_be_read_is_not_shown_but_remembered() -> None:
    view = Availability()
    view.apply([record_of(said_unit(name), n) for n, name in enumerate("abc")], 3)
    garbage = Record("bed-availability", 0, 4, 0, b"b", (), b"{")
    view.apply([record_of(said_unit("a", withdrawn=True), 3), garbage], 5)
    assert [unit.unit_id for unit in view.units()] == ["c"]
    assert [known.unit_id for known in view.since(2)] == ["a", "b"]
    assert view.get("a") is None


@given(st.lists(UNITS, min_size=1, max_size=30), st.data(), st.sampled_from([EVERYTHING, PETS, TRIAL]))
def test_who_resumes_anywhere_knows_what_one_who_never_left_knows(
    said: list[Unit], data: st.DataObject, wanted: Filter
) -> None:
    records = [record_of(unit, offset) for offset, unit in enumerate(said)]
    view = Availability()
    steady: dict[str, Unit] = {}
    left_at = data.draw(st.integers(0, len(said)))
    roaming: dict[str, Unit] = {}
    begin = 0
    while begin < len(records):
        end = data.draw(st.integers(begin + 1, len(records)))
        end = left_at if begin < left_at < end else end
        changes = view.apply(records[begin:end], end)
        _told(steady, split(wanted, changes.changes))
        begin = end
        if end == left_at:
            roaming = dict(steady)
    _told(roaming, split_blind(wanted, view.since(left_at - 1)))
    assert roaming == steady == {unit.unit_id: unit for unit in view.units(wanted)}


def test_whom_a_unit_never_was_for_is_not_told_its_id_and_who_may_have_heard_of_it_forgets_it() -> None:
    view = Availability()
    said = [said_unit("trial", test=True), said_unit("gone", test=True), said_unit("turned"), said_unit("real")]
    said += [said_unit("gone", test=True, withdrawn=True), said_unit("turned", test=True)]
    view.apply([record_of(unit, offset) for offset, unit in enumerate(said)], len(said))
    garbage = Record("bed-availability", 0, 6, 0, b"real", (), b"{")
    changes = view.apply([garbage], 7).changes
    assert (split(EVERYTHING, changes)[1], split(TRIAL, changes)[1]) == (["real"], [])
    told = {wanted: split_blind(wanted, view.since(-1)) for wanted in (EVERYTHING, TRIAL)}
    assert told[EVERYTHING] == ([], ["turned", "real"])
    assert ([known.unit_id for known in told[TRIAL][0]], told[TRIAL][1]) == (["trial", "turned"], ["gone"])
    assert (view.get("trial"), view.get("trial", TRIAL)) == (None, said[0])


def test_a_frame_goes_at_once_after_a_quiet_time_and_then_one_each_half_second() -> None:
    pace, now, went = Pace(0.5), 100.0, []
    assert pace.wait(now) == 0
    for _ in range(21):  # a change each 100 ms
        if pace.wait(now) <= 1e-9:
            pace.went(now)
            went.append(round(now - 100, 3))
        now += 0.1
    assert went == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert pace.wait(now + 1) == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "0123456789ab",
        "0123456789ab:",
        "0123456789ab:-2",
        "0123456789AB:1",
        "0123456789ab:01",
        "0123456789ab:1\n",
        "0123456789ab:" + "9" * 20,
    ],
)
def test_what_is_no_position_is_none(text: str) -> None:
    assert parsed(text) is None


@pytest.mark.parametrize("position", [Position("0123456789ab", -1), Position("0123456789ab-2", 17)])
def test_a_position_reads_as_it_was_written(position: Position) -> None:
    assert parsed(str(position)) == position


def _told(knows: dict[str, Unit], said: tuple[Sequence[Known], Sequence[str]]) -> None:
    items, removed = said
    knows |= {item.unit_id: item.unit for item in items if item.unit}
    for unit_id in removed:
        knows.pop(unit_id, None)
