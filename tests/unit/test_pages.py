"""Pages and waiting: cursors that only a list itself can give, and waits that end."""

import asyncio
import contextlib
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import BigInteger, ColumnElement, Select, Text, column, select

from policy.base64url import encode
from services.kit.pages import Paging, paging, write_cursor
from services.kit.problems import Problem
from services.kit.waiting import until, wait_seconds

IDENTITY = column("id", Text)
NUMBER = column("number", BigInteger)


def window(after: str | None, by: ColumnElement[Any] = IDENTITY) -> str:
    query: Select[str, int] = Paging(after, 2).window(select(IDENTITY, NUMBER), by)
    return str(query.compile(compile_kwargs={"literal_binds": True})).replace("\n", "")


def test_a_window_is_one_row_longer_than_the_page() -> None:
    assert window(None) == "SELECT id, number ORDER BY id LIMIT 3"
    assert window(write_cursor("b")) == "SELECT id, number WHERE id > 'b' ORDER BY id LIMIT 3"
    assert window(write_cursor(7), NUMBER) == "SELECT id, number WHERE number > 7 ORDER BY number LIMIT 3"


def test_the_cursor_leads_from_page_to_page_to_the_end() -> None:
    rows = [f"r{number}" for number in range(5)]
    first = Paging(None, 2).page(rows[:3], by=str, view=str.upper)
    assert (first.items, first.next) == (["R0", "R1"], write_cursor("r1"))
    last = Paging(first.next, 2).page(rows[3:], by=str, view=str.upper)
    assert (last.items, last.next) == (["R3", "R4"], None)
    assert Paging(None, 2).page([], by=str, view=str).model_dump() == {"items": [], "next": None}


@pytest.mark.parametrize(
    "cursor",
    [
        *("", "x", "!!!", encode(b"[]"), encode(b"null"), encode(b'"a'), encode(b'"\\u0000"')),
        *(encode(b'"\\ud800"'), write_cursor(7), encode(b"7.5"), encode(b"[" * 100_000), encode(b"true")),
    ],
)
def test_a_cursor_that_no_page_gave_is_refused(cursor: str) -> None:
    with pytest.raises(Problem) as caught:
        window(cursor)
    assert caught.value.faults[0].field == "after"


@pytest.mark.parametrize("cursor", [write_cursor("7"), write_cursor(2**63), encode(b"true"), encode(b"1e3")])
def test_a_cursor_of_a_numbered_list_is_a_number(cursor: str) -> None:
    with pytest.raises(Problem):
        window(cursor, NUMBER)


@given(st.text(max_size=100))
def test_no_text_breaks_the_reading_of_a_cursor(text: str) -> None:
    for by in (IDENTITY, NUMBER):
        with contextlib.suppress(Problem):
            assert window(text, by)


def test_a_page_has_fifty_rows_unless_asked_otherwise() -> None:
    assert paging() == Paging(None, 50)


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("wait=5", 5),
        ("WAIT = 5", 5),
        ('wait="5"', 5),
        ("respond-async, wait=10; foo=bar", 10),
        ("wait=3, wait=9", 3),
        ("wait=600", 30),
        ("wait=0", 0),
        ("", None),
        ("wait", None),
        ("wait=-1", None),
        ("wait=1.5", None),
        ("wait=soon", None),
        ("await=5", None),
        ("wait=99999999999999999999", None),
        ("return=minimal", None),
    ],
)
def test_the_preference_to_wait(prefer: str, seconds: int | None) -> None:
    assert wait_seconds(prefer) == seconds


async def test_until_returns_what_came_true() -> None:
    answers = iter([None, None, "done"])

    async def check() -> str | None:
        return next(answers)

    assert await until(check, 5) == "done"


async def test_until_gives_up_in_time_after_at_least_one_look() -> None:
    looks = 0

    async def check() -> str | None:
        nonlocal looks
        looks += 1
        return None

    assert await until(check, 0) is None
    assert looks == 1
    started = time.monotonic()
    assert await asyncio.wait_for(until(check, 0.2), 5) is None
    assert 0.2 <= time.monotonic() - started < 1
    assert 3 <= looks <= 30
