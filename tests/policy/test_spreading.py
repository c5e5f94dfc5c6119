"""A record of an agreement reaches the partitions one after the other: while it does, it opens nothing."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache, reduce
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.allowed import Allowed, allowed_now
from policy.control import Control
from schemas.events import ClientConsents, Party, PurposeOfUse
from services.kit.control import ControlView
from tests.policy.case_files import Step
from tests.policy.logs import DETERMINISTIC, PLAYERS, outputs, records
from tests.policy.scribe import MARIA, beginning
from tests.support.log import ROOT_FINGERPRINT, START, Headers, Log, Record

PARTITIONS = 3
NAMES = ("outreach", "shelter", "refuge", "motel")
PURPOSES: tuple[PurposeOfUse, ...] = ("shelter-placement", "eligibility-determination")
TERM = {"from": ["outreach"], "to": ["shelter", "refuge"], "purposes": [*PURPOSES]}
NEXT = {"id": "next", "parties": [*NAMES], "supersedes": "sharing"}
GONE = {"organization": "shelter"}
Open = frozenset[tuple[str, ...]]


def agreement(**says: Any) -> Step:
    return Step("agreement", says, {})


JOINS = [
    agreement(**NEXT, terms=[{**TERM, "categories": ["health", "income"], "reliance": "any_party"}]),
    agreement(**NEXT, terms=[{**TERM, "categories": ["identity"]}]),
    agreement(**NEXT | {"parties": ["outreach", "shelter"]}, terms=[{**TERM, "categories": ["identity", "income"]}]),
    agreement(id="sharing"),
    agreement(id="third", parties=["outreach", "refuge"], terms=[{**TERM, "categories": ["income"]}]),
    agreement(id="third", parties=[*NAMES], terms=[{**TERM, "categories": ["income"]}]),
    agreement(id="third", parties=[*NAMES], supersedes="relying", terms=[{**TERM, "categories": ["income"]}]),
]
ENDS = [
    *(Step("suspend", id_, {}) for id_ in ("sharing", "relying", "next")),
    *(
        Step("leave", {"agreement": id_, "organization": party}, {})
        for id_ in ("sharing", "relying", "next", "third")
        for party in ("outreach", "shelter", "motel")
    ),
]
CHANGES = st.one_of(st.sampled_from(JOINS), st.sampled_from(ENDS))


class Read(NamedTuple):
    """A record as aiokafka gives it."""

    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: Headers
    offset: int


@cache
def consents() -> ClientConsents:
    """All of it is granted by outreach; motel attested the rest, to be relied on."""
    everything: dict[str, Any] = {"to": ["shelter", "refuge"], "purposes": [*PURPOSES]}
    steps = [
        Step("grant", {**everything, "categories": ["identity", "income"]}, {}),
        Step("attest", {**everything, "by": "motel", "categories": ["health"]}, {}),
    ]
    fold = PLAYERS.fold("community")
    outputs(fold, records(steps))
    found: ClientConsents = fold.state.consents_of(MARIA)
    return found


def asked(publisher: str, recipient: str, purpose: PurposeOfUse) -> tuple[Party, Party, PurposeOfUse, int]:
    return Party(organization=publisher), Party(organization=recipient), purpose, START


def crossings(*found: tuple[str, str, PurposeOfUse, Sequence[Allowed]]) -> Open:
    """What all of these permit."""
    return frozenset(
        (publisher, recipient, purpose, category)
        for publisher, recipient, purpose, each in found
        for category in frozenset.intersection(*(one.categories for one in each))
    )


ASKED = [(publisher, recipient, purpose) for publisher in NAMES for recipient in NAMES for purpose in PURPOSES]


def open_under(control: Control) -> Open:
    return crossings(*((*each, [allowed_now(consents(), control, *asked(*each))]) for each in ASKED))


def given_by(view: ControlView) -> Open:
    return crossings(*((*each, view.allowed(consents(), *asked(*each))) for each in ASKED))


def states(those: Sequence[Record]) -> list[Open]:
    """What is open in a partition, before and after each of these records."""
    fold = PLAYERS.fold("community")
    found = [open_under(fold.state.control)]
    for one in those:
        outputs(fold, [one])
        found.append(open_under(fold.state.control))
    return found


def view_of(*partitions: Sequence[Record]) -> ControlView:
    """The custodian's view, having read so much of each partition."""
    view = ControlView(ROOT_FINGERPRINT, len(partitions))
    for number, those in enumerate(partitions):
        log = Log(partition=number)
        log.begin()
        whole = [*log.records, *beginning("community")[len(log.records) :], *those]
        view.read(number, [Read(one.key, one.value, one.timestamp, one.headers, at) for at, one in enumerate(whole)])
    return view


def with_copies(those: Sequence[Record], data: st.DataObject) -> list[Record]:
    """These records, and late copies of them in between."""
    found: list[Record] = []
    for number, one in enumerate(those):
        found.append(one)
        found += data.draw(st.lists(st.sampled_from(those[: number + 1]), max_size=2))
    return found


@DETERMINISTIC
@given(steps=st.lists(CHANGES, min_size=1, max_size=6), data=st.data())
def test_the_custodian_gives_what_every_partition_permits_and_copies_change_nothing(
    steps: list[Step], data: st.DataObject
) -> None:
    those = records(steps)
    ends = [data.draw(st.integers(0, len(those))) for _ in range(PARTITIONS)]
    view = view_of(*(with_copies(those[:end], data) for end in ends))
    found = states(those)
    assert given_by(view) == reduce(frozenset.intersection, (found[end] for end in ends))


@DETERMINISTIC
@given(steps=st.lists(CHANGES, max_size=5), change=CHANGES, reached=st.sets(st.integers(0, PARTITIONS - 1), min_size=1))
def test_while_a_record_spreads_nothing_crosses_that_it_does_not_leave_open(
    steps: list[Step], change: Step, reached: set[int]
) -> None:
    """The boundary decides by its own partition, the custodian by all: before, meanwhile and after."""
    those = records([*steps, change])
    *_, before, after = states(those)
    view = view_of(*(those if number in reached else those[:-1] for number in range(PARTITIONS)))
    meanwhile = given_by(view)
    for number in range(PARTITIONS):
        decided = after if number in reached else before
        assert decided & meanwhile <= after, "what it narrows is narrowed by its first copy"
        if len(reached) < PARTITIONS:
            assert decided & meanwhile <= before, "what it widens waits for its last copy"
    if change.verb in ("leave", "suspend"):
        assert meanwhile == after <= before


@DETERMINISTIC
@given(
    joins=st.lists(st.sampled_from(JOINS), max_size=4),
    ends=st.lists(st.sampled_from(ENDS), min_size=1, max_size=4),
    data=st.data(),
)
def test_wherever_an_end_comes_in_the_same_is_open_afterwards(
    joins: list[Step], ends: list[Step], data: st.DataObject
) -> None:
    those = records([*joins, *ends])
    order = list(those[: len(joins)])
    for end in those[len(joins) :]:
        order.insert(data.draw(st.integers(0, len(order))), end)
    assert states(order)[-1] == states(those)[-1]


def test_these_changes_open_and_close_something() -> None:
    """The control: otherwise the properties above would hold of nothing."""
    found = [states(records([change])) for change in (*JOINS, *ENDS)]
    assert any(after - before for before, after in found)
    assert sum(bool(before - after) for before, after in found) >= 8
    relied = ("outreach", "shelter", "eligibility-determination", "health")
    assert relied in found[0][0]
    assert relied not in states(records([Step("leave", {"agreement": "relying", "organization": "motel"}, {})]))[-1]


@pytest.mark.parametrize("end", [Step("suspend", "relying", {}), Step("leave", {"agreement": "relying", **GONE}, {})])
def test_a_partition_that_missed_an_end_differs_until_all_are_restated(end: Step) -> None:
    """Each further state that is told apart costs the custodian a decision, for ever."""
    ended, restated = records([end, Step("restate_control", {"agreements": ["sharing"]}, {})])
    missed = replace(ended, value=(ended.value or b"")[:-40])
    assert len(view_of([ended], [missed]).controls()) == 2
    assert len(view_of([ended, restated], [missed, restated]).controls()) == 1


def test_who_left_an_agreement_that_is_still_in_force_is_told_apart() -> None:
    gone, restated = records([Step("leave", {"agreement": "sharing", **GONE}, {}), Step("restate_control", {}, {})])
    missed = replace(gone, value=(gone.value or b"")[:-40])
    assert len(view_of([gone, restated], [missed, restated]).controls()) == 2
