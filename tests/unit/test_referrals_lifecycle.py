"""The lifecycle against a tiny model of its own, and what makes a household."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from schemas.events import ReferralStatus
from services.referrals.model import (
    FOLLOWING,
    OPEN,
    InvalidTransition,
    NotAHousehold,
    Role,
    check_transition,
    head_of_household,
    nudge_at,
)

# As the design writes it, one line for one arrow; who may: o originator, r recipient, l recipient whose permission
# has lapsed, c clock.
ARROWS = """
requested accepted r
requested declined rl
requested cancelled ol
requested expired c
accepted started r
accepted on_hold r
accepted completed r
accepted failed r
accepted cancelled ol
started on_hold r
on_hold started r
started completed r
started failed r
started cancelled ol
on_hold completed r
on_hold failed r
on_hold cancelled ol
"""
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
WHO = {
    "o": (Role.ORIGINATOR, False),
    "r": (Role.RECIPIENT, False),
    "l": (Role.RECIPIENT, True),
    "c": (Role.CLOCK, False),
}
STATUSES: tuple[ReferralStatus, ...] = (
    "requested",
    "accepted",
    "declined",
    "cancelled",
    "started",
    "on_hold",
    "completed",
    "failed",
    "expired",
    "entered_in_error",
)
ALLOWED = {
    (source, target, who)
    for source, target, whos in (line.split() for line in ARROWS.strip().splitlines())
    for who in whos
} | {(status, "entered_in_error", "o") for status in STATUSES if status != "entered_in_error"}


class Lifecycle(RuleBasedStateMachine):
    """Anybody tries anything, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.status: ReferralStatus = "requested"

    @rule(to=st.sampled_from(STATUSES), who=st.sampled_from(sorted(WHO)))
    def attempt(self, to: ReferralStatus, who: str) -> None:
        role, lapsed = WHO[who]
        allowed = (self.status, to, who) in ALLOWED
        try:
            check_transition(self.status, to, role, lapsed=lapsed)
        except InvalidTransition:
            assert not allowed
        else:
            assert allowed
            self.status = to

    @invariant()
    def ended_means_ended_but_for_an_error(self) -> None:
        following = FOLLOWING.get(self.status, frozenset())
        assert (self.status in OPEN) == bool(following - {"entered_in_error"})
        assert bool(following) == (self.status != "entered_in_error")


TestLifecycle = Lifecycle.TestCase


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("to", STATUSES)
@pytest.mark.parametrize("status", STATUSES)
def test_exactly_the_arrows_are_allowed(status: ReferralStatus, to: ReferralStatus, who: str) -> None:
    role, lapsed = WHO[who]
    if (status, to, who) in ALLOWED:
        check_transition(status, to, role, lapsed=lapsed)
    else:
        with pytest.raises(InvalidTransition):
            check_transition(status, to, role, lapsed=lapsed)


def test_the_head_is_the_one_member_with_relationship_1() -> None:
    assert head_of_household(["child", "mother"], [2, 1]) == "mother"


@pytest.mark.parametrize(
    ("clients", "relationships", "index"),
    [
        (["child"], [2], None),
        (["one", "other"], [1, 1], None),
        (["one"], [99], None),
        (["one", "one"], [1, 2], 1),
    ],
)
def test_no_household_without_exactly_one_head_and_each_client_once(
    clients: list[str], relationships: list[int], index: int | None
) -> None:
    with pytest.raises(NotAHousehold) as refused:
        head_of_household(clients, relationships)
    assert refused.value.index == index


@pytest.mark.parametrize(
    ("time", "after"),
    [
        (timedelta(hours=4), timedelta(hours=3)),
        (timedelta(minutes=2), timedelta(seconds=90)),
        (timedelta(minutes=2, microseconds=-1), None),
        (timedelta(), None),
        (-timedelta(hours=4), None),
        (None, None),
    ],
)
def test_a_recipient_is_asked_again_after_three_quarters_of_its_time(
    time: timedelta | None, after: timedelta | None
) -> None:
    found = nudge_at(NOON, None if time is None else NOON + time)
    assert found == (None if after is None else NOON + after)
