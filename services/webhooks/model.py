"""The life of a delivery: given what happened and when, what becomes of it and of its endpoint. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Literal

ATTEMPT_SECONDS: Final = 15.0  # Standard Webhooks asks for 15 to 30
SENDING_LEASE: Final = timedelta(seconds=20)
"""An attempt ends well within it, or its process has died: then another may take the delivery."""

# Standard Webhooks 1.0, sample schedule: the pause before each attempt, counted after the one before.
RETRY_SCHEDULE: Final = (
    timedelta(),
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
JITTER: Final = 0.2  # of the pause, up or down: receivers that fail together are not retried together
SOON: Final = timedelta(seconds=1)
"""The pause when it was our side that could not send: such an attempt does not count."""
RETRY_AFTER_RANGE: Final = (timedelta(seconds=5), timedelta(hours=24))
THROTTLE: Final = timedelta(seconds=30)
"""For how long an endpoint is left alone that asks for it without saying for how long."""
LONGEST_THROTTLE: Final = timedelta(hours=1)
THROTTLING: Final = frozenset({429, 502, 504})
GONE: Final = 410


class State(StrEnum):
    """Where a delivery stands. A failed attempt leads back to `pending` until the schedule is used up."""

    PENDING = "pending"
    SENDING = "sending"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"
    WITHHELD = "withheld"
    NOT_SENT = "not_sent"


FINAL: Final = frozenset({State.DELIVERED, State.GIVEN_UP, State.WITHHELD, State.NOT_SENT})

Said = Literal["released", "delivered", "failed", "withheld", "not_sent", "given_up"]
"""What the `deliveries` topic is told of an attempt."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """`attempt` counts how often it was taken up, `failures` those attempts that count in the schedule."""

    state: State
    due_at: datetime
    attempt: int = 0
    failures: int = 0
    lease_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    """A sender takes it up."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The receiver answered; `retry_after` in seconds, where it said so."""

    status: int
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Broken:
    """No answer came. `error`: the kind; `left`: the first byte went out."""

    error: str
    left: bool = False


@dataclass(frozen=True, slots=True)
class Unmade:
    """No message could be made: the custodian does not take the question, or its answer can't be rendered.

    A fault of ours, as of a release that does not fit the other services': it may be mended while the schedule lasts,
    but for one referral it may also stay. Its receiver has no part in it.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Withheld:
    """The custodian said no."""

    reason: str | None = None


@dataclass(frozen=True, slots=True)
class NotSent:
    """Our own side could not send in time: the custodian is away, or its lease passed. `released`: keys were given."""

    reason: str
    released: bool = False


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Nobody waits for it any more: the endpoint is disabled or deleted, or filters out what it would be told."""

    reason: str


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The sender did not come back within its lease: how far it got, nobody knows."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """A person asks for it again."""


Outcome = Answered | Broken | Unmade | Withheld | NotSent | Withdrawn
Event = Claimed | Interrupted | Replayed | Outcome


@dataclass(frozen=True, slots=True)
class Disable:
    """The endpoint wants nothing more (410)."""


@dataclass(frozen=True, slots=True)
class Hold:
    """The endpoint wants to be left alone until then."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Step:
    """What an event leads to: the delivery as it is now, what the log is told, what happens to the endpoint."""

    delivery: Delivery
    said: tuple[Said, ...] = ()
    endpoint: Disable | Hold | None = None


class InvalidTransitionError(Exception):
    """This cannot happen to a delivery in this state."""


def step(delivery: Delivery, event: Event, at: datetime, chance: float) -> Step:
    """What `event` at `at` leads to; `chance` in [0, 1) spreads retries. InvalidTransitionError where it can't happen.

    Only what is pending can be claimed, only what is being sent has an outcome, and only what is not being sent can
    be replayed. A withheld one can: the custodian is asked again.
    """
    match event:
        case Claimed():
            return _claimed(delivery, at)
        case Replayed():
            _require(delivery.state is not State.SENDING)
            return Step(replace(delivery, state=State.PENDING, due_at=at, failures=0, lease_until=None))
        case Interrupted():
            _require(delivery.state is State.SENDING and delivery.lease_until is not None)
            _require(delivery.lease_until is not None and delivery.lease_until <= at)
            return _failed(delivery, ("released",), at, None, chance)
    _require(delivery.state is State.SENDING)
    return _ended(delivery, event, at, chance)


def _claimed(delivery: Delivery, at: datetime) -> Step:
    _require(delivery.state is State.PENDING and delivery.due_at <= at)
    lease = at + SENDING_LEASE
    return Step(replace(delivery, state=State.SENDING, attempt=delivery.attempt + 1, lease_until=lease))


def _ended(delivery: Delivery, outcome: Outcome, at: datetime, chance: float) -> Step:
    match outcome:
        case Answered():
            return _answered(delivery, outcome, at, chance)
        case Broken():
            said: Said = "failed" if outcome.left else "not_sent"
            return _failed(delivery, (said,), at, None, chance)
        case Unmade():
            return _failed(delivery, ("not_sent",), at, None, chance)
        case Withheld():
            return Step(_final(delivery, State.WITHHELD), ("withheld",))
        case Withdrawn():
            return Step(_final(delivery, State.NOT_SENT), ("not_sent",))
        case NotSent():
            again = _again(delivery, at + _spread(SOON, chance))
            return Step(again, ("not_sent",) if outcome.released else ())


def _answered(delivery: Delivery, answer: Answered, at: datetime, chance: float) -> Step:
    if 200 <= answer.status < 300:
        return Step(_final(delivery, State.DELIVERED), ("delivered",))
    if answer.status == GONE:
        return Step(_final(delivery, State.GIVEN_UP), ("failed", "given_up"), Disable())
    asked = None if answer.retry_after is None else timedelta(seconds=answer.retry_after)
    failed = _failed(delivery, ("failed",), at, asked, chance)
    if answer.status not in THROTTLING:
        return failed
    return replace(failed, endpoint=Hold(at + min(asked or THROTTLE, LONGEST_THROTTLE)))


def _failed(delivery: Delivery, said: tuple[Said, ...], at: datetime, asked: timedelta | None, chance: float) -> Step:
    failures = delivery.failures + 1
    if failures >= len(RETRY_SCHEDULE):
        return Step(replace(_final(delivery, State.GIVEN_UP), failures=failures), (*said, "given_up"))
    least, most = RETRY_AFTER_RANGE
    pause = _spread(RETRY_SCHEDULE[failures], chance) if asked is None else min(max(asked, least), most)
    return Step(replace(_again(delivery, at + pause), failures=failures), said)


def _again(delivery: Delivery, due_at: datetime) -> Delivery:
    return replace(delivery, state=State.PENDING, due_at=due_at, lease_until=None)


def _final(delivery: Delivery, state: State) -> Delivery:
    return replace(delivery, state=state, lease_until=None)


def _spread(pause: timedelta, chance: float) -> timedelta:
    return pause * (1 - JITTER + 2 * JITTER * chance)


def _require(condition: bool) -> None:
    if not condition:
        raise InvalidTransitionError
