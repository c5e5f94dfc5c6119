"""Any order of placing, answering, extending, checking in, letting go and ending: the beds are what a dict says."""

import os
from collections import Counter
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from schemas.beds import HoldEvents
from services.shelter_beds import bodies, holds
from tests.conftest import Databases
from tests.support.bed_counted import WHICH, Counted
from tests.support.bed_holders import double_holders
from tests.support.bed_model import LIVE, MOST_OPEN
from tests.support.bed_world import BedWorld, principal
from tests.support.shelter import OTHER, OUTREACH, SHELTER

BEDS_OF = {"instant": 4, "request": 3, "quiet": 3}
SAID = {
    "instant": {"hold_policy": "instant"},
    "request": {"hold_policy": "request"},
    "quiet": {"hold_policy": "request", "shown": "yes_no"},
}
STEP = msgspec.json.Decoder(HoldEvents)
EXAMPLES = int(os.environ.get("BED_EXAMPLES", "10"))  # many more in `make soak`
STEPS = 25


class Beds(Counted):
    """What navigators, a shelter and the clock do to three units, each step checked against the model."""

    @initialize()
    def three_units(self) -> None:
        self.world.forget()
        for policy, beds in BEDS_OF.items():
            unit = self.world.unit(beds, max_open_holds=MOST_OPEN, **SAID[policy])
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
        elif not self.model.has(unit, beds):
            assert made == "no-free-bed"
        else:
            self.model.made(made, beds, referral)

    @rule(which=WHICH, takers=st.integers(2, 5))
    def place_at_once(self, which: int, takers: int) -> None:
        """Each for one bed, each of another organization: as many get one as there are, and any number may ask."""
        unit = self.model.a_unit(which)
        body = bodies.NewHold(unit_id=unit, minutes=30)
        made = self.world.at_once(
            *(lambda session, n=n: holds.place(session, principal(f"taker-{n}"), body) for n in range(takers))
        )
        # A taker may have had beds there before: those who had too many get none.
        refused = {f"taker-{n}" for n in range(takers) if self.model.has_most(unit, f"taker-{n}")}
        allowed, room = takers - len(refused), self.model.free(unit)
        for each in made:
            if not isinstance(each, str):
                self.model.made(each, 1, None)
        won = sum(not isinstance(each, str) for each in made)
        if self.model.units[unit]["policy"] == "instant":
            assert won == min(room, allowed), made
        else:
            assert won == (allowed if room else 0), made

    @precondition(lambda self: self.model.holds)
    @rule(which=WHICH, accept=st.booleans())
    def answer(self, which: int, accept: bool) -> None:
        hold_id, hold = self.model.a_hold(which)
        body = bodies.HoldAnswer(accept=accept)
        answered = self.world.do(lambda session: holds.answer(session, principal(SHELTER), hold_id, body))
        if accept and self.model.lacks_beds(hold):
            assert answered == "no-free-bed"
        elif self.model.may(hold, answered, hold["state"] == "requested"):
            if accept:
                self.model.take(hold, answered)
            else:
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
        elif self.model.lacks_beds(hold):
            assert checked == "no-free-bed"
        elif self.model.may(hold, checked, hold["state"] in LIVE):
            self.model.come(hold, checked)

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
            assert came == "hold-ended" or left == "hold-ended" or self.model.lacks_beds(hold)
            assert isinstance(left, str) != isinstance(came, str)
            self.model.settle(hold["unit"])
            if isinstance(came, str):
                self.model.end(hold, "released")
            else:
                self.model.come(hold, came)
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
        asked = [event for step in self.world.steps if (event := STEP.decode(step)).data.bed_id is None]
        assert set(Counter((event.data.hold_id, type(event)) for event in asked).values()) <= {1}, "said once"
        found = self.world.sql("SELECT unit_id, id, status, hold_id FROM beds")
        for unit, state in self.model.units.items():
            beds = [row[1:] for row in found if row[0] == unit]
            held = {bed: id_ for id_, hold in self.model.live(unit).items() for bed in hold["beds"]}
            assert {bed: by for bed, status, by in beds if status == "held"} == held
            assert {bed for bed, status, _ in beds if status == "offline"} == state["offline"]
            counts = Counter(status for _, status, _ in beds)
            assert (counts["free"], counts["occupied"]) == (state["free"], state["taken"])
            said = self.world.said[unit]
            assert said["open"] == (counts["free"] > 0)
            if state["policy"] == "quiet":
                assert said["available"] is said["maximum"] is None
                continue
            shown = [said[name] for name in ("available", "held", "occupied", "offline", "maximum")]
            assert shown == [*(counts[name] for name in ("free", "held", "occupied", "offline")), len(beds)]

    @invariant()
    def nobody_holds_too_much_and_codes_tell_holds_apart(self) -> None:
        found = self.world.sql("SELECT unit_id, holder, door_code FROM holds WHERE ended_at IS NULL")
        for unit in self.model.units:
            live = [row[1:] for row in found if row[0] == unit]
            assert len(live) == len(self.model.live(unit)) == len({code for _, code in live})
            assert max(Counter(holder for holder, _ in live).values(), default=0) <= MOST_OPEN


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
