"""Where a reader of a topic stands: no record twice, and no hole but in a topic that is compacted."""

import pytest

from services.kit.broker import Record
from services.kit.marks import OwnMark


def records(*offsets: int) -> list[Record]:
    return [Record("topic", 0, offset, 0, b"key", (), b"value") for offset in offsets]


def taken(mark: OwnMark, *offsets: int) -> list[int]:
    return [record.offset for record in mark.take(records(*offsets), 0.0)]


def test_what_was_applied_is_not_taken_again() -> None:
    mark = OwnMark(2)
    assert taken(mark, 1, 2, 3) == [2, 3]
    assert taken(mark, 2, 3) == []
    assert (taken(mark, 4), mark.next) == ([4], 5)


@pytest.mark.parametrize("offsets", [(3,), (2, 4)])
def test_a_hole_is_refused(offsets: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="comes next"):
        OwnMark(2).take(records(*offsets), 0.0)


def test_a_compacted_topic_has_holes() -> None:
    mark = OwnMark(2, compacted=True)
    assert (taken(mark, 5, 9), mark.next) == ([5, 9], 10)
    assert (taken(mark, 9), mark.next) == ([], 10)
