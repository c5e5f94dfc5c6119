"""Tells every reader of the feed what it has not been told, and leaves those that do not listen.

A reader has no queue. It has an offset up to which it was told, and at most one frame that it has not taken yet; while
that is so it gets nothing else, and then one frame with all that it missed.
"""

import asyncio
import random
import socket
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from services.shelter_beds.feed import frames, metrics
from services.shelter_beds.feed.filters import EVERYTHING_OF, Filter
from services.shelter_beds.feed.position import parsed
from services.shelter_beds.feed.rhythm import BEFORE_ALL, Rhythm
from services.shelter_beds.feed.view import Availability, Changes, Known, split, split_blind

AT_ONCE: Final = 200
"""So many readers are written to before others have their turn: requests, and readers that come and go."""
NOWHERE: Final = -2


class Reader:
    """One connection: what it wants, up to where it was told, and since when it has something that it does not take."""

    __slots__ = ("asked", "came_at", "hello", "leaving_at", "offset", "transport", "untaken_since", "until", "wanted")

    def __init__(
        self, transport: asyncio.Transport, wanted: Filter, asked: str | None, now: float, until: float
    ) -> None:
        self.transport = transport
        self.wanted = wanted
        self.asked = asked
        self.came_at = now
        self.until = until
        self.hello = b""
        self.offset = NOWHERE
        self.untaken_since: float | None = None
        self.leaving_at: float | None = None

    @property
    def listens(self) -> bool:
        """Whether it has taken all that was written to it."""
        return not self.transport.get_write_buffer_size()


class Hub:
    """All readers of this process. Only `publish` moves the view that they are told of."""

    def __init__(
        self,
        view: Availability,
        rhythm: Rhythm,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._view = view
        self._rhythm = rhythm
        self._clock = clock
        self._wall = wall
        self._groups: dict[Filter, set[Reader]] = {}
        self._waiting: set[Reader] = set()  # for their first frame
        self._behind: set[Reader] = set()  # with something untaken
        self._made: dict[tuple[Filter, int], bytes] = {}  # frames up to where the view is now, by filter and beginning
        self._confirmed = BEFORE_ALL
        self._stopping = False

    def join(self, transport: asyncio.Transport, wanted: Filter, asked: str | None) -> Reader:
        """Take a reader in, whose answer has begun; `asked` is up to where it says that it was told."""
        _bound(transport, self._rhythm.send_buffer)
        now = self._clock()
        access_for = random.uniform(*self._rhythm.access_for)  # noqa: S311 - to spread their coming back
        reader = Reader(transport, wanted, asked, now, now + access_for)
        metrics.CONNECTIONS.inc()
        self._groups.setdefault(wanted, set()).add(reader)
        reader.hello = frames.retry(random.randint(*self._rhythm.retry_between))  # noqa: S311 - to spread them
        self._waiting.add(reader)
        if self._stopping:
            self._leave_now(reader)
        else:
            self._begin(reader)
            self._write(reader, b"")
        return reader

    def leave(self, reader: Reader) -> None:
        """Forget a reader whose connection is closed."""
        metrics.CONNECTIONS.dec()
        group = self._groups[reader.wanted]
        group.discard(reader)
        if not group:
            del self._groups[reader.wanted]
        self._waiting.discard(reader)
        self._behind.discard(reader)

    def begin_anew(self, epoch: str) -> None:
        """Read another log: whoever was told of the one before is told so once this one has been read."""
        before = self._view.epoch
        self._view.begin(epoch)
        self._confirmed = BEFORE_ALL
        self._made.clear()
        for reader in self._all():
            if reader.offset != NOWHERE:
                reader.asked = f"{before}:{reader.offset}"
                reader.offset = NOWHERE
                self._waiting.add(reader)

    def confirm(self, asked_at: float) -> None:
        """Note that all has been read that stood on the log at `asked_at` (monotonic)."""
        self._view.read_to_end_at = self._wall() - timedelta(seconds=self._clock() - asked_at)
        self._confirmed = asked_at
        for reader in list(self._waiting):
            self._begin(reader)

    async def publish(self, changes: Changes) -> None:
        """Tell all readers what changed, each filter's frame made once."""
        self._made.clear()
        metrics.UNITS.set(sum(len(self._view.known(everything)) for everything in EVERYTHING_OF.values()))
        at = self._wall()
        for wanted, group in list(self._groups.items()):
            items, removed = split(wanted, changes.changes)
            frame = self._changes_frame(at, items, removed) if items or removed else b""
            await self._tell(list(group), changes, frame)

    async def beat(self) -> None:
        """Let every reader know that its stream lives, and how fresh it is; or that its access is to be looked at."""
        self._ask_again(self._clock())
        at = self._wall()
        plain = frames.heartbeat(at, self._view.read_to_end_at)
        for some in _in_parts(self._all()):
            told = frames.heartbeat(at, self._view.read_to_end_at, self._view.position)
            taken = sum(
                self._give(reader, told if reader.offset == self._view.offset else plain, reader.offset)
                for reader in some
            )
            metrics.FRAMES.labels("heartbeat").inc(taken)
            await asyncio.sleep(0)

    def _ask_again(self, now: float) -> None:
        """Part with those that came long ago: what was taken away since then opens nothing any more."""
        for reader in self._all():
            if now >= reader.until and reader.leaving_at is None:
                self._say_goodbye(reader, "ask-again", now)

    def look_after(self) -> None:
        """See to those that have not taken what was written to them: go on with them, or leave them."""
        now = self._clock()
        self._made.clear()  # each says when it was made, and who comes late must not be told an old time
        for reader in list(self._behind):
            if reader.leaving_at is not None:
                self._end(reader, now)
            elif reader.listens:
                self._listens_again(reader)
                self._catch_up(reader)
            elif reader.untaken_since is not None and now - reader.untaken_since >= self._rhythm.patience:
                self._say_goodbye(reader, "slow-reader", now)

    def stop(self) -> None:
        """Say goodbye to all; those that would keep the process waiting are cut off."""
        self._stopping = True
        for reader in self._all():
            self._leave_now(reader)

    def _all(self) -> list[Reader]:
        return [reader for group in self._groups.values() for reader in group]

    def _begin(self, reader: Reader) -> None:
        """Give a reader its first frame, as soon as it is known which."""
        if self._view.read_to_end_at is None:
            return
        if reader.asked is None:
            first = b""
        elif (position := parsed(reader.asked)) is None:
            first = frames.reset("malformed-id")
        elif position.epoch != self._view.epoch:
            first = frames.reset("unknown-epoch")
        elif position.offset <= self._view.offset:
            self._started(reader, self._missed(reader.wanted, position.offset), "changes")
            return
        elif reader.came_at >= self._confirmed:
            return  # another process may have read further than this one: not before the log was asked
        else:
            first = frames.reset("beyond-the-end")
        self._started(reader, first + self._snapshot(reader.wanted), "snapshot")

    def _started(self, reader: Reader, frame: bytes, event: str) -> None:
        self._waiting.discard(reader)
        reader.asked = None
        reader.offset = self._view.offset
        self._write(reader, frame)
        metrics.FRAMES.labels(event).inc()

    async def _tell(self, readers: list[Reader], changes: Changes, frame: bytes) -> None:
        for some in _in_parts(readers):
            taken = 0
            for reader in some:
                if reader.offset == changes.since:
                    taken += self._give(reader, frame, changes.upto)
                elif NOWHERE < reader.offset < changes.upto:
                    self._catch_up(reader)
            metrics.FRAMES.labels("changes").inc(taken)
            await asyncio.sleep(0)

    def _catch_up(self, reader: Reader) -> None:
        """Tell a reader all that it missed in one frame."""
        if NOWHERE < reader.offset < self._view.offset:
            taken = self._give(reader, self._missed(reader.wanted, reader.offset), self._view.offset)
            metrics.FRAMES.labels("changes").inc(taken)

    def _give(self, reader: Reader, frame: bytes, upto: int) -> bool:
        """Write a frame, if there is any, to a reader that has taken the one before; tell whether it was written."""
        if not frame:
            reader.offset = upto
            return False
        if reader.leaving_at is not None:
            return False
        if not reader.listens:
            if reader.untaken_since is None:
                reader.untaken_since = self._clock()
                self._behind.add(reader)
            return False
        if reader.untaken_since is not None:
            self._listens_again(reader)
        self._write(reader, frame)
        reader.offset = upto
        return True

    def _listens_again(self, reader: Reader) -> None:
        reader.untaken_since = None
        self._behind.discard(reader)

    @staticmethod
    def _write(reader: Reader, frame: bytes) -> None:
        written, reader.hello = reader.hello + frame, b""  # together: each write is a call of the system
        if written and not reader.transport.is_closing():
            reader.transport.write(written)

    def _snapshot(self, wanted: Filter) -> bytes:
        made = self._made.get((wanted, NOWHERE))
        if made is None:
            metrics.SERIALIZED.inc()
            made = frames.snapshot(self._view.position, self._wall(), self._view.known(wanted))
            self._made[wanted, NOWHERE] = made
        return made

    def _missed(self, wanted: Filter, offset: int) -> bytes:
        made = self._made.get((wanted, offset))
        if made is None:
            items, removed = split_blind(wanted, self._view.since(offset))
            made = self._made[wanted, offset] = self._changes_frame(self._wall(), items, removed)
        return made

    def _changes_frame(self, at: datetime, items: list[Known], removed: list[str]) -> bytes:
        metrics.SERIALIZED.inc()
        return frames.changes(self._view.position, at, items, removed)

    def _say_goodbye(self, reader: Reader, reason: str, now: float) -> None:
        metrics.CUT_OFF.labels(reason).inc()
        reader.leaving_at = now
        self._behind.add(reader)
        self._write(reader, frames.goodbye(reason))

    def _end(self, reader: Reader, now: float) -> None:
        if reader.listens:
            reader.transport.close()
        elif reader.leaving_at is not None and now - reader.leaving_at >= self._rhythm.farewell:
            reader.transport.abort()

    def _leave_now(self, reader: Reader) -> None:
        if reader.leaving_at is not None:
            return
        if reader in self._behind:
            metrics.CUT_OFF.labels("stopping").inc()
            reader.transport.abort()
            return
        self._say_goodbye(reader, "stopping", self._clock())
        reader.transport.close()


def _in_parts(readers: list[Reader]) -> Iterable[list[Reader]]:
    return (readers[start : start + AT_ONCE] for start in range(0, len(readers), AT_ONCE))


def _bound(transport: asyncio.Transport, send_buffer: int) -> None:
    """Bound what the kernel keeps for a reader: else it grows to megabytes before anybody notices."""
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
