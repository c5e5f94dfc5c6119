"""The life of a delivery: every path ends, retries follow the schedule, and nothing final moves by itself."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.webhooks.model import (
    FINAL,
    JITTER,
    LONGEST_THROTTLE,
    RETRY_SCHEDULE,
    SENDING_LEASE,
    THROTTLE,
    Answered,
    Broken,
    Claimed,
    Delivery,
    Disable,
    Event,
    Hold,
    Interrupted,
    InvalidTransitionError,
    NotSent,
    Replayed,
    State,
    Step,
    Unmade,
    Withdrawn,
    Withheld,
    step,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
MIDDLE = 0.5  # the chance that leaves a pause as it stands in the schedule
PENDING = Delivery(State.PENDING, NOW)
SENDING = step(PENDING, Claimed(), NOW, MIDDLE).delivery


def after(*events: Event, delivery: Delivery = SENDING) -> Step:
    """The last step of attempts that are each claimed as soon as they are due and end at once."""
    result = Step(delivery)
    for event in events:
        if result.delivery.state is State.PENDING:
            result = step(result.delivery, Claimed(), result.delivery.due_at, MIDDLE)
        lease_until = result.delivery.lease_until
        assert lease_until is not None
        result = step(result.delivery, event, lease_until - SENDING_LEASE, MIDDLE)
    return result


def test_the_schedule_is_the_sample_of_standard_webhooks() -> None:
    seconds = [pause.total_seconds() for pause in RETRY_SCHEDULE]
    assert seconds == [0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]


def test_a_claim_takes_a_lease() -> None:
    assert Delivery(State.SENDING, NOW, attempt=1, lease_until=NOW + SENDING_LEASE) == SENDING


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_2xx_is_delivered(status: int) -> None:
    done = after(Answered(status))
    assert (done.delivery.state, done.said, done.endpoint) == (State.DELIVERED, ("delivered",), None)


@pytest.mark.parametrize("status", [100, 199, 300, 301, 307, 308, 400, 401, 404, 500, 503, 999])
def test_everything_else_fails_and_is_tried_again(status: int) -> None:
    done = after(Answered(status))
    assert (done.delivery.state, done.said, done.endpoint) == (State.PENDING, ("failed",), None)
    assert done.delivery.due_at == NOW + RETRY_SCHEDULE[1]


def test_the_whole_schedule_and_then_it_is_given_up() -> None:
    delivery, at = PENDING, NOW
    for number, pause in enumerate(RETRY_SCHEDULE):
        assert delivery.due_at == at + pause
        at = delivery.due_at
        done = step(step(delivery, Claimed(), at, MIDDLE).delivery, Answered(500), at, MIDDLE)
        assert done.said == (("failed",) if number < 9 else ("failed", "given_up"))
        delivery = done.delivery
    assert (delivery.state, delivery.attempt) == (State.GIVEN_UP, 10)


def test_410_disables_the_endpoint_and_ends_the_delivery() -> None:
    done = after(Answered(410))
    assert (done.delivery.state, done.said, done.endpoint) == (State.GIVEN_UP, ("failed", "given_up"), Disable())


@pytest.mark.parametrize("status", [429, 502, 504])
@pytest.mark.parametrize(
    ("asked", "held"),
    [(None, THROTTLE), (120.0, timedelta(minutes=2)), (1e6, LONGEST_THROTTLE), (0.0, timedelta(0))],
)
def test_an_endpoint_that_is_overloaded_is_left_alone(status: int, asked: float | None, held: timedelta) -> None:
    expected = THROTTLE if asked is not None and asked == 0 else held
    assert after(Answered(status, asked)).endpoint == Hold(NOW + expected)


@pytest.mark.parametrize(("asked", "paused"), [(0.0, 5), (120.0, 120), (1e9, 86_400), (9e8, 86_400)])
def test_retry_after_is_honoured_within_bounds(asked: float, paused: int) -> None:
    assert after(Answered(503, asked)).delivery.due_at == NOW + timedelta(seconds=paused)


@pytest.mark.parametrize(("chance", "factor"), [(0.0, 1 - JITTER), (0.999_999, 1 + JITTER)])
def test_jitter_spreads_retries(chance: float, factor: float) -> None:
    pause = step(SENDING, Answered(500), NOW, chance).delivery.due_at - NOW
    assert pause / RETRY_SCHEDULE[1] == pytest.approx(factor, abs=1e-4)


def test_a_request_that_never_left_is_not_called_failed() -> None:
    assert after(Broken("connection-refused")).said == ("not_sent",)
    assert after(Broken("timeout", left=True)).said == ("failed",)


def test_a_message_that_cannot_be_made_is_tried_by_the_schedule_and_told_each_time() -> None:
    done = after(Unmade("unrenderable"))
    assert (done.delivery.state, done.delivery.failures, done.said) == (State.PENDING, 1, ("not_sent",))
    last = after(*[Unmade("not-released")] * len(RETRY_SCHEDULE))
    assert (last.delivery.state, last.said, last.endpoint) == (State.GIVEN_UP, ("not_sent", "given_up"), None)


def test_our_own_side_failing_costs_no_attempt_of_the_schedule() -> None:
    done = after(NotSent("custodian-down"))
    assert (done.delivery.state, done.delivery.failures, done.said) == (State.PENDING, 0, ())
    assert done.delivery.due_at - NOW < timedelta(seconds=2)
    assert after(NotSent("lease-passed", released=True)).said == ("not_sent",)


def test_withheld_is_final() -> None:
    done = after(Withheld("revoked"))
    assert (done.delivery.state, done.said) == (State.WITHHELD, ("withheld",))


def test_withdrawn_is_not_sent() -> None:
    done = after(Withdrawn("endpoint-closed"))
    assert (done.delivery.state, done.said) == (State.NOT_SENT, ("not_sent",))


def test_an_interrupted_attempt_counts_and_is_told_as_possibly_released() -> None:
    done = step(SENDING, Interrupted(), NOW + SENDING_LEASE, MIDDLE)
    assert (done.delivery.state, done.delivery.failures, done.said) == (State.PENDING, 1, ("released",))


@pytest.mark.parametrize("state", [State.PENDING, *sorted(FINAL)])
def test_a_replay_starts_over(state: State) -> None:
    later = NOW + timedelta(days=1)
    done = step(Delivery(state, NOW, attempt=7, failures=7), Replayed(), later, MIDDLE)
    assert done == Step(Delivery(State.PENDING, later, attempt=7))


@pytest.mark.parametrize(
    ("delivery", "event"),
    [
        (Delivery(State.PENDING, NOW + timedelta(seconds=1)), Claimed()),
        (SENDING, Claimed()),
        (SENDING, Replayed()),
        (SENDING, Interrupted()),  # its lease has not passed
        (PENDING, Interrupted()),
        (PENDING, Answered(200)),
        *((Delivery(state, NOW), event) for state in FINAL for event in (Claimed(), Answered(200), Interrupted())),
    ],
)
def test_what_cannot_happen(delivery: Delivery, event: Event) -> None:
    with pytest.raises(InvalidTransitionError):
        step(delivery, event, NOW, MIDDLE)


OUTCOMES = st.one_of(
    st.builds(Answered, st.integers(100, 599), st.none() | st.floats(0, 1e9)),
    st.builds(Broken, st.sampled_from(["timeout", "disconnected"]), st.booleans()),
    st.builds(Unmade, st.sampled_from(["unrenderable", "not-released"])),
    st.builds(Withheld, st.none() | st.just("revoked")),
    st.builds(NotSent, st.just("custodian-down"), st.booleans()),
    st.builds(Withdrawn, st.just("endpoint-closed")),
)


class Life(RuleBasedStateMachine):
    """Anything that can happen to a delivery, at any time."""

    @initialize()
    def born(self) -> None:
        self.at = NOW
        self.delivery = PENDING
        self.said: list[tuple[int, str]] = []
        self.ended_at_attempt: int | None = None

    def happens(self, event: Event, chance: float = MIDDLE) -> Step:
        done = step(self.delivery, event, self.at, chance)
        self.said += [(done.delivery.attempt, said) for said in done.said]
        self.delivery = done.delivery
        return done

    @rule(seconds=st.floats(0, 100_000))
    def time_passes(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)

    @precondition(lambda self: self.delivery.state is State.PENDING and self.delivery.due_at <= self.at)
    @rule()
    def claimed(self) -> None:
        before = self.delivery.attempt
        self.happens(Claimed())
        assert self.delivery.attempt == before + 1

    @precondition(lambda self: self.delivery.state is State.SENDING)
    @rule(outcome=OUTCOMES, chance=st.floats(0, 1, exclude_max=True))
    def ended(self, outcome: Event, chance: float) -> None:
        before = self.delivery
        done = self.happens(outcome, chance)
        assert done.delivery.failures - before.failures in (0, 1)
        if done.delivery.state is State.PENDING:
            assert timedelta(0) < done.delivery.due_at - self.at <= RETRY_SCHEDULE[-1] * (1 + JITTER)
        if isinstance(done.endpoint, Hold):
            assert timedelta(0) <= done.endpoint.until - self.at <= LONGEST_THROTTLE

    @precondition(lambda self: self.delivery.state is State.SENDING)
    @rule()
    def sender_died(self) -> None:
        assert self.delivery.lease_until is not None
        self.at = max(self.at, self.delivery.lease_until)
        self.happens(Interrupted())

    @precondition(lambda self: self.delivery.state is not State.SENDING)
    @rule()
    def replayed(self) -> None:
        self.happens(Replayed())

    @invariant()
    def only_a_sending_one_has_a_lease(self) -> None:
        assert (self.delivery.lease_until is not None) == (self.delivery.state is State.SENDING)

    @invariant()
    def given_up_is_said_when_and_only_when_it_is(self) -> None:
        given_up = [attempt for attempt, said in self.said if said == "given_up"]
        if self.delivery.state is State.GIVEN_UP:
            assert self.delivery.attempt in given_up
        assert len(given_up) == len(set(given_up))

    @invariant()
    def nothing_is_said_twice_of_an_attempt(self) -> None:
        assert len(self.said) == len(set(self.said))

    @invariant()
    def it_does_not_outlast_the_schedule(self) -> None:
        assert self.delivery.failures <= len(RETRY_SCHEDULE)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
