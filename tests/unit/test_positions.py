"""The reading automaton: every reader applies each source once, in order, whatever copies come."""

from hypothesis import given
from hypothesis import strategies as st

from services.kit.positions import ALARM_AFTER, COPIES_REMEMBERED, Reading, ReadingAutomaton

offsets = st.integers(min_value=0, max_value=12)
digests = st.sampled_from([b"a", b"b"])
logs = st.lists(st.tuples(offsets, digests), max_size=60)


def applied(log: list[tuple[int, bytes]], start: int = 0) -> list[tuple[int, bytes]]:
    automaton = ReadingAutomaton(start)
    return [(offset, digest) for offset, digest in log if automaton.read(offset, digest, 0.0) is Reading.APPLY]


@given(log=logs, start=offsets)
def test_what_is_applied_is_exactly_the_successors_in_order(log: list[tuple[int, bytes]], start: int) -> None:
    done = [offset for offset, _ in applied(log, start)]
    assert done == list(range(start, start + len(done)))


@given(count=st.integers(min_value=0, max_value=30), data=st.data())
def test_late_copies_change_nothing(count: int, data: st.DataObject) -> None:
    originals = [(offset, b"original") for offset in range(count)]
    log: list[tuple[int, bytes]] = []
    for original in originals:
        log.append(original)
        if data.draw(st.booleans(), label="a zombie writes"):
            copy = data.draw(st.integers(min_value=0, max_value=original[0]), label="what it writes again")
            log.append((copy, data.draw(st.sampled_from([b"original", b"another"]))))
    assert applied(log) == originals


@given(log=logs, cut=st.integers(min_value=0, max_value=60))
def test_a_reader_that_starts_over_at_its_mark_applies_the_same(log: list[tuple[int, bytes]], cut: int) -> None:
    before = applied(log[:cut])
    # It reads the log from the start again, as a reader of a derived topic may.
    assert before + applied(log, start=len(before)) == applied(log[:cut] + log)


@given(log=logs, first=digests, later=digests)
def test_a_later_copy_that_differs_is_told_from_one_that_does_not(
    log: list[tuple[int, bytes]], first: bytes, later: bytes
) -> None:
    automaton = ReadingAutomaton(0)
    assert automaton.read(0, first, 0.0) is Reading.APPLY
    for offset, digest in log:
        automaton.read(offset, digest, 0.0)
    assert automaton.read(0, later, 0.0) is (Reading.DROP if first == later else Reading.DIFFERS)


def test_a_record_ahead_is_ignored_and_taken_when_it_comes_again_in_its_turn() -> None:
    automaton = ReadingAutomaton(5)
    order = [(7, Reading.AHEAD), (5, Reading.APPLY), (7, Reading.AHEAD), (6, Reading.APPLY), (7, Reading.APPLY)]
    assert [automaton.read(offset, b"", 0.0) for offset, _ in order] == [reading for _, reading in order]


def test_a_gap_ages_until_all_that_was_met_is_reached() -> None:
    automaton = ReadingAutomaton(0)
    automaton.read(2, b"", 100.0)
    automaton.read(0, b"", 130.0)
    assert automaton.gap_age(100.0 + ALARM_AFTER) == ALARM_AFTER
    automaton.read(1, b"", 161.0)
    assert automaton.gap_age(170.0) == 70.0
    automaton.read(2, b"", 171.0)
    assert automaton.gap_age(1000.0) == 0.0


def test_what_it_remembers_is_bounded() -> None:
    automaton = ReadingAutomaton(0)
    for offset in range(COPIES_REMEMBERED + 1):
        automaton.read(offset, b"first", 0.0)
    assert automaton.read(0, b"another", 0.0) is Reading.DROP
    assert automaton.read(1, b"another", 0.0) is Reading.DIFFERS
