"""An agreement is decided by its parties, whatever the order, and never said to be more than it is."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.governance.model import Step, Votes, status
from services.governance.records import next_order
from services.kit.problems import Problem
from tests.support.callers import NOW

ORGANIZATIONS = ("harbor", "haven", "hub")


@given(st.lists(st.sampled_from(ORGANIZATIONS)))
def test_by_the_rule_all_exactly_the_approval_of_every_party_decides(given_by: list[str]) -> None:
    votes = Votes(ORGANIZATIONS)
    for organization in given_by:
        votes = votes.with_approval(organization)
    assert votes.decided == (set(given_by) == set(ORGANIZATIONS))


@pytest.mark.parametrize(
    ("share", "parties", "needed"),
    [
        ("0.6", 5, 3),
        ("0.07", 100, 7),  # 7.000000000000001 by floating point
        ("0.55", 100, 55),
        ("0.66", 3, 2),
        ("0.67", 3, 3),
        ("0.5", 4, 2),
        ("1", 4, 4),
        ("0.01", 5, 2),  # one alone shares with nobody
    ],
)
def test_a_share_is_counted_exactly(share: str, parties: int, needed: int) -> None:
    names = tuple(f"organization-{number}" for number in range(parties))
    votes = Votes(names, share=Decimal(share))
    counts = [
        len(approved) for approved in (names[:count] for count in range(parties + 1)) if _decided(votes, *approved)
    ]
    assert counts == list(range(needed, parties + 1))


def test_a_share_is_not_enough_without_those_who_must_be_among_them() -> None:
    votes = Votes(ORGANIZATIONS, share=Decimal("0.5"), must_include=frozenset({"hub"}))
    assert not _decided(votes, "harbor", "haven")
    assert not _decided(votes, "hub")
    assert _decided(votes, "hub", "haven")


def test_only_who_approved_and_has_not_left_is_in_it() -> None:
    votes = Votes(ORGANIZATIONS, share=Decimal("0.5")).with_approval("hub").with_approval("harbor")
    assert votes.in_force == ("harbor", "hub")
    assert votes.without("hub").in_force == ("harbor",)
    assert (votes.shared, votes.without("hub").shared) == (True, False)


def test_the_word_of_who_left_counts_no_more_and_is_not_given_again() -> None:
    votes = Votes(ORGANIZATIONS, share=Decimal("0.5"), must_include=frozenset({"hub"})).without("hub")
    assert not _decided(votes, "harbor", "haven")
    with pytest.raises(Problem) as caught:
        votes.with_approval("hub")
    assert caught.value.name == "wrong-status"


def _decided(votes: Votes, *approved: str) -> bool:
    for organization in approved:
        votes = votes.with_approval(organization)
    return votes.decided


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
        (Step.SUPERSEDING, True, "active"),
        (Step.SUPERSEDED, True, "superseded"),
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
