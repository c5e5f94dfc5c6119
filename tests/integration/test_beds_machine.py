"""Any order of placing, answering, extending, checking in, letting go and ending: the beds are what a dict says."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from services.shelter_beds import bodies, holds, units
from tests.conftest import Databases
from tests.support.bed_holders import double_holders
from tests.support.bed_model import LIVE, MOST_OPEN, BedModel
from tests.support.bed_world import BedWorld, principal
from tests.support.shelter import OTHER, OUTREACH, SHELTER

WHICH = st.integers(0, 30)
BEDS_OF = {"instant": 4, "request": 3}
EXAMPLES, STEPS = 20, 25


class Beds(RuleBasedStateMachine):
    """What navigators, a shelter and the clock do to two units, each step checked against the model."""

    world: BedWorld

    def __init__(self) -> None:
        super().__init__()
        self.model = BedModel()

    @initialize()
    def two_units(self) -> None:
        self.world.forget()
        for policy, beds in BEDS_OF.items():
            unit = self.world.unit(beds, hold_policy=policy, max_open_holds=MOST_OPEN)
            self.model.units[unit] = {"policy": policy, "free": beds, "taken": 0, "offline": set()}

    @rule(
        which=WHICH,
        holder=st.sampled_from([OUTREACH, OTHER]),
        beds=st.integers(1, 2),
        referral=st.sampled_from([None, "r1", "r2"]),
    )
    def place(self, which: int, holder: str, beds: int, referral: str | None) -> None:
        unit = self.model.a_unit(which)
        body = bodies.NewHold(unit_id=unit, beds=beds, minutes=30, referral_id=referral)
        made = self.world.do(lambda session: holds.place(session, principal(holder), body))
        if self.model.has_most(unit, holder):
            assert made == "too-many-holds"
        elif self.model.free(unit) < beds:
            assert made == "no-free-bed"
        else:
            self.model.placed(made, referral)

    @rule(which=WHICH, takers=st.integers(2, 5))
    def place_at_once(self, which: int, takers: int) -> None:
        """Each for one bed, each of another organization: as many get one as there are."""
        unit = self.model.a_unit(which)
        body = bodies.NewHold(unit_id=unit, minutes=30)
        made = self.world.at_once(
            *(lambda session, n=n: holds.place(session, principal(f"taker-{n}"), body) for n in range(takers))
        )
        # A taker may have had beds there before: those who had too many get none.
        refused = {f"taker-{n}" for n in range(takers) if self.model.has_most(unit, f"taker-{n}")}
        room = self.model.free(unit)
        for each in made:
            if not isinstance(each, str):
                self.model.placed(each, None)
        won = sum(not isinstance(each, str) for each in made)
        assert won == min(room, takers - len(refused)), made

    @precondition(lambda self: self.model.holds)
    @rule(which=WHICH, accept=st.booleans())
    def answer(self, which: int, accept: bool) -> None:
        hold_id, hold = self.model.a_hold(which)
        body = bodies.HoldAnswer(accept=accept)
        answered = self.world.do(lambda session: holds.answer(session, principal(SHELTER), hold_id, body))
        if self.model.may(hold, answered, hold["state"] == "requested"):
            hold["state"] = "placed"
            if not accept:
                self.model.end(hold, "released")

    @precondition(lambda self: self.model.holds)
    @rule(which=WHICH)
    def extend(self, which: int) -> None:
        hold_id, hold = self.model.a_hold(which)
        extended = self.world.do(lambda session: holds.extend(session, principal(hold["holder"]), hold_id))
        if hold["state"] == "placed" and hold["extended"] and not hold["due"]:
            assert extended == "already-extended"
        elif self.model.may(hold, extended, hold["state"] == "placed"):
            hold["extended"] = True

    @precondition(lambda self: self.model.holds)
    @rule(which=WHICH, knows_the_code=st.sampled_from([True, True, False]))
    def check_in(self, which: int, knows_the_code: bool) -> None:
        hold_id, hold = self.model.a_hold(which)
        wrong = "AMBER-10" if hold["code"] != "AMBER-10" else "AMBER-11"
        body = bodies.CheckIn(door_code=hold["code"] if knows_the_code else wrong)
        checked = self.world.do(lambda session: holds.check_in(session, principal(SHELTER), hold_id, body))
        if hold["state"] in LIVE and not hold["due"] and not knows_the_code:
            assert checked == "wrong-door-code"
        elif self.model.may(hold, checked, hold["state"] in LIVE):
            self.model.end(hold, "checked_in")

    @precondition(lambda self: self.model.holds)
    @rule(which=WHICH, by_the_shelter=st.booleans())
    def let_go(self, which: int, by_the_shelter: bool) -> None:
        hold_id, hold = self.model.a_hold(which)
        who = principal(SHELTER if by_the_shelter else hold["holder"])
        if self.model.may(
            hold, self.world.do(lambda session: holds.let_go(session, who, hold_id)), hold["state"] in LIVE
        ):
            self.model.end(hold, "released")

    @precondition(lambda self: self.model.holds)
    @rule(which=WHICH)
    def end_at_once(self, which: int) -> None:
        """The holder lets go while the person is at the door: one of both."""
        hold_id, hold = self.model.a_hold(which)
        body = bodies.CheckIn(door_code=hold["code"])
        left, came = self.world.at_once(
            lambda session: holds.let_go(session, principal(hold["holder"]), hold_id),
            lambda session: holds.check_in(session, principal(SHELTER), hold_id, body),
        )
        if hold["state"] in LIVE and not hold["due"]:
            assert [left, came].count("hold-ended") == 1
            self.model.settle(hold["unit"])
            self.model.end(hold, "released" if came == "hold-ended" else "checked_in")
        else:
            assert (left, came) == ("hold-ended", "hold-ended")

    @precondition(lambda self: self.model.holds)
    @rule(which=WHICH)
    def time_is_over(self, which: int) -> None:
        hold_id, hold = self.model.a_hold(which)
        self.world.sql("UPDATE holds SET expires_at = now() WHERE id = :id AND ended_at IS NULL", id=hold_id)
        hold["due"] = hold["state"] in LIVE

    @rule()
    def sweep(self) -> None:
        self.world.sweep()
        for unit in self.model.units:
            self.model.settle(unit)

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

    @rule(referral=st.sampled_from(["r1", "r2"]), holder=st.sampled_from([OUTREACH, OTHER]))
    def referral_ends(self, referral: str, holder: str) -> None:
        self.world.do(lambda session: holds.release_for(session, {(referral, holder): "referral_declined"}))
        held = [hold for hold in self.model.holds.values() if (hold["referral"], hold["holder"]) == (referral, holder)]
        held = [hold for hold in held if hold["state"] in LIVE]
        for hold in held:
            self.model.settle(hold["unit"])
        for hold in held:
            if hold["state"] in LIVE:
                self.model.end(hold, "released")

    @invariant()
    def the_beds_are_as_the_model_says(self) -> None:
        self.world.listen()
        assert double_holders(self.world.steps) == []
        found = self.world.sql("SELECT unit_id, id, status, hold_id FROM beds")
        for unit, state in self.model.units.items():
            beds = [row[1:] for row in found if row[0] == unit]
            held = {bed: id_ for id_, hold in self.model.live(unit).items() for bed in hold["beds"]}
            assert {bed: by for bed, status, by in beds if status == "held"} == held
            assert {bed for bed, status, _ in beds if status == "offline"} == state["offline"]
            counts = Counter(status for _, status, _ in beds)
            assert (counts["free"], counts["occupied"]) == (state["free"], state["taken"])
            said = self.world.said[unit]
            shown = [said[name] for name in ("available", "held", "occupied", "offline", "maximum")]
            assert shown == [*(counts[name] for name in ("free", "held", "occupied", "offline")), len(beds)]

    @invariant()
    def nobody_holds_too_much_and_codes_tell_holds_apart(self) -> None:
        found = self.world.sql("SELECT unit_id, holder, door_code FROM holds WHERE ended_at IS NULL")
        for unit in self.model.units:
            live = [row[1:] for row in found if row[0] == unit]
            assert len(live) == len(self.model.live(unit)) == len({code for _, code in live})
            assert max(Counter(holder for holder, _ in live).values(), default=0) <= MOST_OPEN

    def _beds(self, unit: str) -> list[tuple[str, str]]:
        rows = self.world.sql("SELECT id, status FROM beds WHERE unit_id = :unit ORDER BY place", unit=unit)
        return [(row[0], row[1]) for row in rows]


@pytest.fixture(scope="module")
def world(postgres: Databases) -> Iterator[BedWorld]:
    made = BedWorld.made(postgres.create_database("shelter_beds"))
    yield made
    made.close()


def test_whatever_happens_the_beds_are_as_a_dict_says(world: BedWorld) -> None:
    run_state_machine_as_test(
        type("BedsHere", (Beds,), {"world": world}),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            print_blob=True,
            phases=[Phase.explicit, Phase.reuse, Phase.generate],  # who wins a race is not the same when it is shrunk
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_what_is_over_ends_once_though_nobody_has_swept_yet(world: BedWorld) -> None:
    """It had ended twice: the row was read again from the database before its end was written there."""
    world.forget()
    unit = world.unit(1)
    made = world.do(lambda session: holds.place(session, principal(OUTREACH), bodies.NewHold(unit_id=unit, minutes=30)))
    assert not isinstance(made, str)
    world.sql("UPDATE holds SET expires_at = now()")
    body = bodies.CheckIn(door_code=made.door_code)
    assert world.do(lambda session: holds.let_go(session, principal(OUTREACH), made.id)) == "hold-ended"
    assert world.do(lambda session: holds.check_in(session, principal(SHELTER), made.id, body)) == "hold-ended"
    world.sweep()
    world.listen()
    assert [b"hold.expired" in step for step in world.steps] == [False, True]
