"""What `bed-holds` says, told once more: how far each hold has come, and who has each bed. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec

from schemas.beds import HoldCheckedIn, HoldEvents, HoldExpired, HoldExtended, HoldPlaced, HoldReleased, HoldRequested
from services.shelter_beds.model import HoldState

_STEP: Final = msgspec.json.Decoder(HoldEvents)
_STATES: Final[dict[type, HoldState]] = {
    HoldRequested: "requested",
    HoldPlaced: "placed",
    HoldExtended: "placed",
    HoldReleased: "released",
    HoldExpired: "expired",
    HoldCheckedIn: "checked_in",
}
ENDED: Final = 3


def far(state: HoldState, *, extended: bool) -> int:
    """Return how far a hold has come: asked for, placed, extended, ended."""
    if state == "requested":
        return 0
    return 1 + extended if state == "placed" else ENDED


@dataclass
class HoldAsSaid:
    """A hold as the log knows it; its steps come in any order: each of its beds has a partition of its own."""

    steps: list[HoldEvents] = field(default_factory=list)

    @property
    def furthest(self) -> HoldEvents:
        """The step that says the most."""
        return max(self.steps, key=far_of)

    @property
    def far(self) -> int:
        """How far it has come."""
        return far_of(self.furthest)

    @property
    def state(self) -> HoldState:
        """What it is."""
        return _STATES[type(self.furthest)]

    @property
    def extended(self) -> bool:
        """Whether it was, at any time."""
        return any(isinstance(step, HoldExtended) for step in self.steps)

    @property
    def began(self) -> datetime:
        """When it was first heard of."""
        return _moment(min(step.time for step in self.steps))

    @property
    def placed_at(self) -> datetime | None:
        """When it got its beds."""
        times = [step.time for step in self.steps if step.data.bed_ids]
        return _moment(min(times)) if times else None

    @property
    def expires_at(self) -> datetime:
        """When it ends by itself, or would have; its last step is none that says so."""
        ends = [step.data.expires_at for step in sorted(self.steps, key=far_of) if step.data.expires_at]
        return _moment(ends[-1]) if ends else self.began

    @property
    def ended_at(self) -> datetime | None:
        """When it ended."""
        return _moment(self.furthest.time) if self.far == ENDED else None


@dataclass
class BedAsSaid:
    """A bed as the log knows it: the number of its last record, and what that said."""

    order: int
    last: HoldEvents

    @property
    def hold_id(self) -> str | None:
        """The hold that has it."""
        return self.last.data.hold_id if far_of(self.last) < ENDED else None

    @property
    def was_checked_in(self) -> bool:
        """Whether somebody came for its last hold."""
        return isinstance(self.last, HoldCheckedIn)


@dataclass
class Retold:
    """All holds and beds, by their ids."""

    holds: dict[str, HoldAsSaid] = field(default_factory=dict)
    beds: dict[str, BedAsSaid] = field(default_factory=dict)


def steps_of(values: Iterable[bytes | None]) -> list[HoldEvents]:
    """Read records of the topic."""
    return [_STEP.decode(value or b"") for value in values]


def retold(steps: Iterable[HoldEvents]) -> Retold:
    """Tell of all records of the topic, those of each bed in its order."""
    told = Retold()
    for step in steps:
        told.holds.setdefault(step.data.hold_id, HoldAsSaid()).steps.append(step)
        bed_id, order = step.data.bed_id, step.data.order or 0
        if bed_id is not None and (bed_id not in told.beds or told.beds[bed_id].order < order):
            told.beds[bed_id] = BedAsSaid(order, step)
    return told


def far_of(step: HoldEvents) -> int:
    """Return how far a hold had come with a step."""
    return far(_STATES[type(step)], extended=isinstance(step, HoldExtended))


def _moment(said: str) -> datetime:
    return datetime.fromisoformat(said)
