"""What a shelter does to its beds, whatever is held there: steps of a machine, each checked against the model."""

from datetime import UTC, datetime, timedelta
from typing import Literal

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from services.shelter_beds import bodies, units
from tests.support.bed_model import BedModel
from tests.support.bed_world import BedWorld, principal
from tests.support.shelter import SHELTER

WHICH = st.integers(0, 30)


class Counted(RuleBasedStateMachine):
    """A shelter counts its beds, says of one what it is, and has more or fewer of them."""

    world: BedWorld

    def __init__(self) -> None:
        super().__init__()
        self.model = BedModel()

    @rule(
        which=WHICH,
        number=st.integers(0, 5),
        counted=st.sampled_from(["available", "occupied"]),
        includes_holds=st.booleans(),
        old=st.sampled_from([False, False, False, True]),
    )
    def census(
        self, which: int, number: int, counted: Literal["available", "occupied"], includes_holds: bool, old: bool
    ) -> None:
        unit = self.model.a_unit(which)
        state = self.model.units[unit]
        before = state.get("counted_at") if old else None
        as_of = before - timedelta(seconds=1) if before else datetime.now(UTC)
        said = {counted: number, "as_of": as_of, "includes_holds": includes_holds}
        body = bodies.NewCensus.model_validate(said)
        done = self.world.do(lambda session: units.count(session, principal(SHELTER), unit, body))
        in_service = len(self._beds(unit)) - len(state["offline"])
        if before:
            assert done == "older-census"
        elif number > in_service:
            assert done == "invalid-body"
        else:
            empty = number if counted == "available" else in_service - number
            free = empty + self.model.moved(unit, held_are_empty=includes_holds is (counted == "available"))
            self.model.settle(unit)
            room = state["free"] + state["taken"]
            state["free"] = min(max(free, 0), room)
            state["taken"] = room - state["free"]
            state["counted_at"] = as_of

    @rule(which=WHICH, place=st.integers(0, 3), status=st.sampled_from(["free", "occupied", "offline"]))
    def change_bed(self, which: int, place: int, status: Literal["free", "occupied", "offline"]) -> None:
        unit = self.model.a_unit(which)
        beds = self._beds(unit)
        bed_id, before = beds[place % len(beds)]
        body = bodies.BedChange(status=status, reason="broken" if status == "offline" else None)
        done = self.world.do(lambda session: units.change_bed(session, principal(SHELTER), unit, bed_id, body))
        if any(bed_id in hold["beds"] for hold in self.model.open(unit)):
            assert done == "bed-held"
            return
        self.model.settle(unit)
        state = self.model.units[unit]
        state["offline"].discard(bed_id)
        state["taken" if before == "occupied" else "free"] -= before != "offline"
        if status == "offline":
            state["offline"].add(bed_id)
        else:
            state["taken" if status == "occupied" else "free"] += 1

    @rule(which=WHICH, beds=st.integers(1, 5))
    def change_the_number_of_beds(self, which: int, beds: int) -> None:
        unit = self.model.a_unit(which)
        there, state = self._beds(unit), self.model.units[unit]
        kept = {bed for hold in self.model.open(unit) for bed in hold["beds"]}
        idle = [(bed, status) for bed, status in reversed(there) if status != "occupied" and bed not in kept]
        surplus = len(there) - beds
        body = bodies.UnitChange(beds=beds)
        done = self.world.do(lambda session: units.change(session, principal(SHELTER), unit, None, body))
        if surplus > len(idle):
            assert done == "beds-in-use"
            return
        self.model.settle(unit)
        state["free"] += max(-surplus, 0)
        for bed, status in idle[: max(surplus, 0)]:
            state["free"] -= status != "offline"
            state["offline"].discard(bed)

    def _beds(self, unit: str) -> list[tuple[str, str]]:
        rows = self.world.sql("SELECT id, status FROM beds WHERE unit_id = :unit ORDER BY place", unit=unit)
        return [(row[0], row[1]) for row in rows]
