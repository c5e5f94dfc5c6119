"""All units as last said on `bed-availability`, in memory: records go in, what changed comes out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from policy import canonical
from schemas.beds import Unit, UnitAvailability
from services.kit import logs
from services.kit.broker import Record
from services.shelter_beds.feed import metrics
from services.shelter_beds.feed.filters import EVERYTHING, Filter
from services.shelter_beds.feed.position import Position

BEFORE_THE_FIRST: Final = -1
REMEMBERED: Final = 4096
"""Records; more than a relay can have on their way, all of which the next one sends again when that one is killed."""
ANYBODY: Final = frozenset({False, True})
_AVAILABILITY: Final = msgspec.json.Decoder(UnitAvailability)


class Known(msgspec.Struct, frozen=True, gc=False):
    """The last that was said of a unit: at which offset, and what, as a value and as the JSON of the log.

    Without a value the unit is no more. `kinds`: whether those who may have heard of it are tests, or real, or both.
    """

    unit_id: str
    offset: int
    kinds: frozenset[bool]
    unit: Unit | None = None
    json: bytes = b""


@dataclass(frozen=True)
class Change:
    """What became of one unit."""

    before: Unit | None
    now: Known


@dataclass(frozen=True)
class Changes:
    """What the records after `since` up to `upto` made of each unit that they are about."""

    since: int
    upto: int
    changes: Sequence[Change]


class Availability:
    """The units, `epoch` of the log they were read from, and `offset` of the last record read.

    A record that comes again says nothing new: what was told since must not be taken back, not even for a moment.
    `read_to_end_at` is when all that stood on the log then had been read; None before that was so once.
    """

    def __init__(self) -> None:
        self.read_to_end_at: datetime | None = None
        self.begin("")

    def begin(self, epoch: str) -> None:
        """Forget everything: another log is read from its beginning."""
        self.epoch, self.offset = epoch, BEFORE_THE_FIRST
        self.next_offset = 0
        self.read_to_end_at = None
        self._known: dict[str, Known] = {}  # the last changed is the last
        self._remembered: dict[str, None] = {}  # ids of the last records, the last at the end

    @property
    def position(self) -> Position:
        """Where whoever has been told all of this stands."""
        return Position(self.epoch, self.offset)

    def units(self, wanted: Filter = EVERYTHING) -> list[Unit]:
        """Return the units wanted, those that changed last at the end."""
        return [known.unit for known in self.known(wanted) if known.unit is not None]

    def known(self, wanted: Filter = EVERYTHING) -> list[Known]:
        """Return what is known of the units wanted."""
        return [known for known in self._known.values() if wanted.matches(known.unit)]

    def get(self, unit_id: str, wanted: Filter = EVERYTHING) -> Unit | None:
        """Return a unit, if there is one and it is wanted."""
        known = self._known.get(unit_id)
        return known.unit if known and wanted.matches(known.unit) else None

    def since(self, offset: int) -> list[Known]:
        """Return what was said last of each unit of which anything was said after an offset, in order."""
        found = []
        for known in reversed(self._known.values()):
            if known.offset <= offset:
                break
            found.append(known)
        return found[::-1]

    def apply(self, records: Sequence[Record], next_offset: int) -> Changes:
        """Take records in, and return what they changed; `next_offset` is where the log is read next."""
        since = self.offset
        before: dict[str, Unit | None] = {}
        for record in records:
            self.offset = record.offset
            event = _event(record)
            if event is not None and not self._is_first(event.id):
                continue
            unit_id = (record.key or b"").decode("utf-8", "replace")
            last = self._known.pop(unit_id, None)
            before.setdefault(unit_id, last.unit if last else None)
            self._known[unit_id] = _known(record, unit_id, event, last.kinds if last else frozenset())
        self.next_offset = next_offset
        return Changes(since, self.offset, _changes(before, self._known))

    def _is_first(self, event_id: str) -> bool:
        if event_id in self._remembered:
            return False
        self._remembered[event_id] = None
        if len(self._remembered) > REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        return True


def _changes(before: dict[str, Unit | None], known: dict[str, Known]) -> list[Change]:
    changes = (Change(unit, known[unit_id]) for unit_id, unit in before.items())
    return sorted(changes, key=lambda change: change.now.offset)


def _event(record: Record) -> UnitAvailability | None:
    try:
        return _AVAILABILITY.decode(record.value or b"")
    except msgspec.MsgspecError:
        metrics.UNREADABLE.inc()
        logs.get().error("record can't be read", topic=record.topic, offset=record.offset)
        return None


def _known(record: Record, unit_id: str, event: UnitAvailability | None, heard_by: frozenset[bool]) -> Known:
    """Read a record. What can't be read is the end of its unit here: its last value is not the truth any more."""
    unit = event.data if event else None
    if unit is None or unit.unit_id != unit_id:
        return Known(unit_id, record.offset, heard_by or ANYBODY)
    kinds = heard_by | {unit.test}
    if unit.withdrawn:
        return Known(unit_id, record.offset, kinds)
    return Known(unit_id, record.offset, kinds, unit, canonical.encode(unit))


def split(wanted: Filter, changes: Iterable[Change]) -> tuple[list[Known], list[str]]:
    """Return what a reader with this filter, who knew all before, must be told: new values, and units to forget."""
    items, removed = [], []
    for change in changes:
        if wanted.matches(change.now.unit):
            items.append(change.now)
        elif wanted.matches(change.before):
            removed.append(change.now.unit_id)
    return items, removed


def split_blind(wanted: Filter, known: Iterable[Known]) -> tuple[list[Known], list[str]]:
    """Do as `split` for a reader of whom nobody knows what it was told: it may have to forget what it never knew.

    Not what nobody of its kind can have heard of: tests and real organizations learn of each other's units no id.
    """
    items, removed = [], []
    for one in known:
        if wanted.matches(one.unit):
            items.append(one)
        elif wanted.test in one.kinds:
            removed.append(one.unit_id)
    return items, removed
