"""Readers that do not take what they are sent: one frame waits for each, and then they are left."""

import asyncio
import socket
from datetime import UTC, datetime

import pytest

from services.kit.broker import Ends
from services.shelter_beds.feed.filters import EVERYTHING, Filter
from services.shelter_beds.feed.following import Following, LogCutError
from services.shelter_beds.feed.hub import Hub, Reader
from services.shelter_beds.feed.rhythm import Rhythm
from services.shelter_beds.feed.view import Availability
from tests.support.said_units import record_of, said_unit

EPOCH = "0123456789ab"
RHYTHM = Rhythm(patience=10, farewell=1)


class Wire(asyncio.Transport):
    """A connection whose other side takes what was written when the test says so."""

    def __init__(self) -> None:
        super().__init__({"socket": socket.socket()})
        self.untaken: list[bytes] = []
        self.taken: list[bytes] = []
        self.ended = ""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.untaken.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return sum(map(len, self.untaken))

    def is_closing(self) -> bool:
        return bool(self.ended)

    def close(self) -> None:
        self.ended = self.ended or "closed"

    def abort(self) -> None:
        self.ended = "aborted"

    def take(self) -> bytes:
        """Take all that was written, and return it."""
        taken, self.untaken = b"".join(self.untaken), []
        return taken


class Feed:
    """A hub whose time and log are the test's."""

    def __init__(self) -> None:
        self.view = Availability()
        self.now = 100.0
        self.hub = Hub(self.view, RHYTHM, lambda: self.now, lambda: datetime(2026, 1, 10, tzinfo=UTC))
        self.hub.begin_anew(EPOCH)

    def begin(self) -> None:
        self.hub.confirm(self.now)

    def join(self, wanted: Filter = EVERYTHING, asked: str | None = None) -> tuple[Wire, Reader]:
        wire = Wire()
        return wire, self.hub.join(wire, wanted, asked)

    async def say(self, unit_id: str, available: int) -> None:
        offset = self.view.next_offset
        record = record_of(said_unit(unit_id, available=available), offset)
        await self.hub.publish(self.view.apply([record], offset + 1))


async def test_who_takes_nothing_has_one_frame_waiting_and_then_one_with_all_that_it_missed() -> None:
    feed = Feed()
    feed.begin()
    wire, _ = feed.join()
    wire.take()
    await feed.say("a", 0)
    waiting = wire.get_write_buffer_size()
    for number in range(1, 50):
        await feed.say("a", number)
        await feed.say("b", number)
        await feed.hub.beat()
    assert wire.get_write_buffer_size() == waiting
    wire.take()
    feed.hub.look_after()
    missed = wire.take()
    assert missed.count(b"event: changes") == 1
    assert b'"available":49' in missed
    assert f"id: {EPOCH}:98".encode() in missed


async def test_who_takes_nothing_for_too_long_is_told_why_and_left() -> None:
    feed = Feed()
    feed.begin()
    (listens, _), (late, _), (never, _) = feed.join(), feed.join(), feed.join()
    await feed.say("a", 1)  # while their first frames wait
    for wire in (listens, late, never):
        assert not wire.ended
    listens.take()
    feed.now += 9.9
    feed.hub.look_after()
    assert b"goodbye" not in b"".join(late.untaken)
    feed.now += 0.2
    feed.hub.look_after()
    assert b'event: goodbye\ndata: {"reason":"slow-reader"}' in late.take()
    feed.hub.look_after()
    assert (late.ended, never.ended) == ("closed", "")
    feed.now += 1
    feed.hub.look_after()
    assert (never.ended, listens.ended) == ("aborted", "")


async def test_who_is_slow_but_takes_everything_is_kept() -> None:
    feed = Feed()
    feed.begin()
    wire, _ = feed.join()
    for number in range(5):
        await feed.say("a", number)  # while the frame before waits
        feed.now += 9
        wire.take()
        await feed.say("b", number)
        feed.hub.look_after()
        feed.now += 2
        feed.hub.look_after()
        assert not any(b"goodbye" in frame for frame in wire.untaken)
    assert not wire.ended


async def test_before_all_has_been_read_once_nothing_is_told_but_that_the_stream_lives() -> None:
    feed = Feed()
    wire, _ = feed.join()
    await feed.hub.beat()
    first = wire.take()
    assert b"retry: " in first
    assert b"event: snapshot" not in first
    feed.begin()
    assert b"event: snapshot" in wire.take()


async def test_an_offset_that_another_process_may_know_is_waited_for() -> None:
    feed = Feed()
    feed.begin()
    wire, _ = feed.join(asked=f"{EPOCH}:0")
    feed.hub.confirm(feed.now - 1)  # what the log said before the reader came says nothing of it
    assert b"event" not in wire.take()
    await feed.say("a", 1)
    feed.now += 1
    feed.hub.confirm(feed.now)
    assert b"event: changes" in wire.take()


async def test_a_frame_is_made_once_for_all_who_want_the_same() -> None:
    feed = Feed()
    feed.begin()
    wires = [feed.join()[0] for _ in range(3)]
    other = feed.join(Filter(unit_id="b"))[0]
    for wire in (*wires, other):
        wire.take()
    await feed.say("a", 1)
    assert wires[0].untaken[0] is wires[1].untaken[0] is wires[2].untaken[0]
    assert other.untaken == []


async def test_a_log_that_was_cut_is_another_log() -> None:
    class Cut(Ends):
        async def now(self) -> dict[int, int]:
            return {0: 0}

    feed = Feed()
    following = Following("127.0.0.1:1", feed.view, feed.hub, RHYTHM)
    following._topic_id = EPOCH * 2
    following._next_offset = 1
    feed.begin()
    await feed.say("a", 1)
    wire, _ = feed.join()
    wire.take()
    with pytest.raises(LogCutError):
        await following._confirming(Cut("127.0.0.1:1", "bed-availability", 1))
    assert feed.view.epoch == f"{EPOCH}-1"
    assert feed.view.units() == []
    feed.begin()
    assert b'event: reset\ndata: {"reason":"unknown-epoch"}' in wire.take()


async def test_a_stream_does_not_outlive_the_access_that_opened_it() -> None:
    """Who comes back goes on without a gap, and who may not any more is refused."""
    feed = Feed()
    feed.begin()
    wire, _ = feed.join()
    wire.take()
    feed.now += 299
    await feed.hub.beat()
    assert b"goodbye" not in wire.take()
    feed.now += 302
    await feed.hub.beat()
    assert b'event: goodbye\ndata: {"reason":"ask-again"}' in wire.take()
    feed.hub.look_after()
    assert wire.ended == "closed"


async def test_what_is_read_while_the_end_is_asked_for_is_no_cut() -> None:
    """The end was compared with what had been read by the time that the answer came: a healthy log was begun anew."""
    feed = Feed()
    following = Following("127.0.0.1:1", feed.view, feed.hub, RHYTHM)

    class Racing(Ends):
        def __init__(self) -> None:
            self.asked = 0

        async def now(self) -> dict[int, int]:
            self.asked += 1
            if self.asked > 1:
                raise TimeoutError
            following._next_offset = 1  # a record came between the broker's answer and this task's turn
            return {0: 0}

    with pytest.raises(TimeoutError):
        await following._confirming(Racing())
    assert feed.view.epoch == EPOCH
