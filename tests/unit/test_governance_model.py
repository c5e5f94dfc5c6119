"""An agreement is decided by all its parties, whatever the order, and never said to be more than it is."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.governance.model import Step, Votes, status
from services.governance.records import next_order
from services.kit.problems import Problem
from tests.support.callers import NOW

ORGANIZATIONS = ("harbor", "haven", "hub")


@given(st.lists(st.sampled_from(ORGANIZATIONS)))
def test_exactly_the_approval_of_every_party_decides(given_by: list[str]) -> None:
    votes = Votes(ORGANIZATIONS)
    for organization in given_by:
        votes = votes.with_approval(organization)
    assert votes.decided == (set(given_by) == set(ORGANIZATIONS))


def test_only_a_party_approves() -> None:
    with pytest.raises(Problem) as caught:
        Votes(ORGANIZATIONS).with_approval("stranger")
    assert caught.value.name == "not-a-party"


@pytest.mark.parametrize(
    ("step", "on_every_partition", "told"),
    [
        (Step.DRAFT, True, "draft"),
        (Step.DECIDED, False, "activating"),
        (Step.DECIDED, True, "active"),
        (Step.SUSPENDING, False, "active"),
        (Step.SUSPENDING, True, "active"),
        (Step.SUSPENDED, True, "suspended"),
    ],
)
def test_what_is_told_of_an_agreement(step: Step, on_every_partition: bool, told: str) -> None:
    assert status(step, on_every_partition=on_every_partition) == told


@given(last=st.integers(0, 2**52), seconds=st.integers(0, 4_000_000_000))
def test_orders_only_rise(last: int, seconds: int) -> None:
    moment = datetime.fromtimestamp(seconds, UTC)
    order = next_order(last, moment)
    assert order > last
    assert order >= seconds * 1_000_000
    assert next_order(0, datetime.fromtimestamp(NOW, UTC)) == NOW * 1_000_000
