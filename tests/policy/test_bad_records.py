"""A record that should not be there, or that was damaged on its way, never widens what may cross."""

import random
from collections.abc import Callable
from dataclasses import replace as with_
from typing import Any

import pytest
from hypothesis import find, given
from hypothesis import strategies as st

from policy.murmur2 import partition_of
from tests.policy.case_files import Step
from tests.policy.logs import CONTROLS, DETERMINISTIC, GRANTS, PLAYERS, SEARCHING, STEPS, outputs, permitted, records
from tests.policy.mutants import Mutant, mutants
from tests.policy.playing import Players
from tests.policy.scribe import CLIENTS, beginning
from tests.policy.test_mutations import loaded
from tests.support.log import PARTITIONS, START, Record

# What somebody who may write to the topic could add: a record, made from the ones before it.
Bad = Callable[[list[Record], random.Random], Record]


def a_late_copy(before: list[Record], chance: random.Random) -> Record:
    return chance.choice(before[-8:] if chance.random() < 0.8 else before)


def a_damaged_copy(before: list[Record], chance: random.Random) -> Record:
    return damaged(a_late_copy(before, chance), chance)


def a_copy_under_another_key(before: list[Record], chance: random.Random) -> Record:
    other = chance.choice([*CLIENTS.values(), "control/sharing", ""]).encode()
    return with_(a_late_copy(before, chance), key=other)


def a_forged_grant(before: list[Record], chance: random.Random) -> Record:
    return _forged("grant", {"categories": ["identity", "health"], "to": ["shelter", "refuge"]}, chance, len(before))


def a_forged_restatement(before: list[Record], chance: random.Random) -> Record:
    return _forged("restate", {"grants": [{"order": 1, "categories": ["identity"]}]}, chance, len(before))


def a_forged_agreement(before: list[Record], chance: random.Random) -> Record:
    parties = ["outreach", "haven", "clinic", "shelter", "hub"]
    everything = {"purposes": ["shelter-placement", "care-coordination"], "deidentified": True}
    terms = [{"from": parties, "to": parties, "categories": ["identity", "documents"], **everything}]
    return _forged("agreement", {"id": "forged", "parties": parties, "terms": terms}, chance, len(before))


def a_forged_request(before: list[Record], chance: random.Random) -> Record:
    return _forged("request", {"boxes": ["need", "identity"], "referral": "one"}, chance, len(before))


def a_misplaced_grant(before: list[Record], chance: random.Random) -> Record:
    step = Step("grant", {"categories": ["identity"]}, {"client": "elsewhere", "order": chance.randrange(3000)})
    return with_(records([step])[0], timestamp=START + len(before))


def _forged(verb: str, says: dict[str, Any], chance: random.Random, length: int) -> Record:
    signer = chance.choice(["impostor", "stranger", "root", "consent" if verb == "agreement" else "governance"])
    step = Step(verb, says, {"signed_by": signer, "order": chance.randrange(3000)})
    return with_(records([step])[0], timestamp=START + length)


def damaged(record: Record, chance: random.Random) -> Record:
    """The record with one bit of its key or value turned."""
    key, value = bytearray(record.key or b""), bytearray(record.value or b"")
    place = chance.randrange(len(key) + len(value) or 1)
    part, index = (key, place) if place < len(key) else (value, place - len(key))
    if part:
        part[index] ^= 1 << chance.randrange(8)
    return with_(record, key=bytes(key), value=bytes(value))


BAD: list[Bad] = [
    a_late_copy,
    a_damaged_copy,
    a_copy_under_another_key,
    a_forged_grant,
    a_forged_restatement,
    a_forged_agreement,
    a_forged_request,
    a_misplaced_grant,
]


SOME_STEPS = st.lists(STEPS, min_size=1, max_size=10)
TWO_GRANTS = st.tuples(GRANTS, GRANTS).map(list)  # perhaps two versions of one consent
A_GRANT_AND_CONTROLS = st.tuples(GRANTS, CONTROLS, CONTROLS).map(list)
PLACES, SEEDS = st.integers(0, 9), st.integers(0, 2**32)


@pytest.mark.parametrize("bad", BAD)
@DETERMINISTIC
@given(steps=SOME_STEPS, place=PLACES, seed=SEEDS)
def test_a_record_that_should_not_be_there_never_widens(bad: Bad, steps: list[Step], place: int, seed: int) -> None:
    assert not widens_beside(PLAYERS, bad, steps, place, seed)


@DETERMINISTIC
@given(steps=SOME_STEPS, place=PLACES, seed=SEEDS)
def test_a_record_damaged_on_its_way_never_widens(steps: list[Step], place: int, seed: int) -> None:
    """Compared with the log in which it arrived whole: what narrowed still does, or more."""
    assert not widens_damaged(PLAYERS, steps, place, seed)


def widens_beside(players: Players, bad: Bad, steps: list[Step], place: int, seed: int) -> bool:
    """Whether more may cross, now or later, with a bad record after the one at `place`."""
    those = records(steps)
    before, after = those[: place + 1], those[place + 1 :]
    without, beside = players.fold("community"), players.fold("community")
    outputs(without, before)
    outputs(beside, [*before, bad([*beginning("community"), *before], random.Random(seed))])
    return _ever_more(beside, after, without, after)


def widens_damaged(players: Players, steps: list[Step], place: int, seed: int) -> bool:
    """Whether more may cross, now or later, when the record at `place` is damaged: one that said something."""
    those = records(steps)
    place = min(place, len(those) - 1)
    if steps[place].verb == "text":
        return False
    hurt = [*those[:place], damaged(those[place], random.Random(seed)), *those[place + 1 :]]
    return _ever_more(players.fold("community"), hurt, players.fold("community"), those)


def _ever_more(suspect: Any, its: list[Record], honest: Any, others: list[Record]) -> bool:
    if not permitted(suspect.state) <= permitted(honest.state):
        return True
    for one, other in zip(its, others, strict=True):
        outputs(suspect, [one])
        outputs(honest, [other])
        if not permitted(suspect.state) <= permitted(honest.state):
            return True
    return False


@pytest.mark.parametrize(
    ("rule", "bad", "steps"),
    [
        # Among all that may stand on a log, the one late copy that matters is found only after half a minute.
        (
            "consents.apply: never `if isinstance(event, ConsentGranted | ConsentRestated)",
            a_late_copy,
            TWO_GRANTS,
        ),
        ("control.apply: always `_changed(narrowed, event) if order >", a_late_copy, A_GRANT_AND_CONTROLS),
        ("parse.check_signature: never `if not verifies", a_forged_grant, SOME_STEPS),
        ("parse.check_signature: never `if not verifies", a_forged_agreement, SOME_STEPS),
        ("step.Fold._take: never `if not self._placed(key)", a_misplaced_grant, SOME_STEPS),
    ],
)
def test_a_deleted_rule_is_found_by_its_property(rule: str, bad: Bad, steps: st.SearchStrategy[list[Step]]) -> None:
    """The control: each of these properties fails where the rule that keeps it is gone."""
    players = Players(loaded(_mutant(rule)))
    case = st.tuples(steps, PLACES, SEEDS)
    find(case, lambda drawn: widens_beside(players, bad, *drawn), settings=SEARCHING)


def test_a_damage_that_raises_no_doubt_is_found() -> None:
    players = Players(loaded(_mutant("step.Fold._doubt: never `if self._placed(name)")))
    find(st.tuples(SOME_STEPS, PLACES, SEEDS), lambda drawn: widens_damaged(players, *drawn), settings=SEARCHING)


def _mutant(rule: str) -> Mutant:
    (found,) = (one for one in mutants(rule.partition(".")[0]) if one.name.startswith(rule))
    return found


@pytest.mark.parametrize("bit", [1, 32])
@pytest.mark.parametrize(
    ("verb", "says"),
    [("revoke", {"scope": "all"}), ("exclude", {}), ("suspend", "sharing"), ("leave", {"organization": "shelter"})],
)
def test_each_single_byte_of_a_narrowing_may_be_damaged_and_nothing_widens(verb: str, says: Any, bit: int) -> None:
    """Whatever byte it is, of key or value: what the record whole would have stopped is stopped."""
    grant = Step("grant", {"categories": ["identity"]}, {})
    before, narrowing = records([grant, Step(verb, says, {})])
    whole = PLAYERS.fold("community")
    outputs(whole, [before, narrowing])
    stopped = permitted(whole.state)
    key, value = narrowing.key or b"", narrowing.value or b""
    for place in range(len(key) + len(value)):
        turned = bytearray(key + value)
        turned[place] ^= bit
        broken = PLAYERS.fold("community")
        hurt = with_(narrowing, key=bytes(turned[: len(key)]), value=bytes(turned[len(key) :]))
        outputs(broken, [before, hurt])
        assert permitted(broken.state) <= stopped, place


@pytest.mark.parametrize(("length", "kept"), [(15, 0), (16, 1), (64, 1), (65, 0), (250_000, 0)])
def test_rubbish_under_what_can_be_no_clients_id_is_kept_nowhere(length: int, kept: int) -> None:
    """Else a thousand records would fill the memory of whoever folds the log, after each start again."""
    fold = PLAYERS.fold("community")
    before = dict(fold.state.consents)
    written = (name for number in range(1000) if len(name := f"{number:04}".ljust(length, "x")) == length)
    name = next(name for name in written if partition_of(name.encode(), PARTITIONS) == fold.state.partition)
    fold.step(START, name.encode(), (), b"{")
    assert len(fold.state.consents) - len(before) == kept
