"""What holds of every log: nothing widens but what may, and the same records give the same bytes."""

import os
import random
import subprocess
import sys
from dataclasses import replace as with_
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from policy import canonical, consents, state
from policy.allowed import allowed_now
from policy.control import Control
from policy.step import Fold
from schemas.events import ClientConsents, Party
from tests.policy.case_files import Step
from tests.policy.logs import (
    DETERMINISTIC,
    GRANTS,
    NARROWINGS,
    PLAYERS,
    STEPS,
    outputs,
    permitted,
    records,
)
from tests.policy.scribe import MARIA
from tests.support.log import START, Record, decode_event

LOGS = st.lists(STEPS, max_size=14)


def of(fold: Any, client: str = MARIA) -> ClientConsents:
    found: ClientConsents = fold.state.consents_of(client)
    return found


def after(steps: list[Step]) -> Fold:
    fold: Fold = PLAYERS.fold("community")
    outputs(fold, records(steps))
    return fold


@DETERMINISTIC
@given(steps=LOGS, names=st.lists(st.sampled_from(["outreach", "shelter", "haven", "hub"]), min_size=2, max_size=2))
def test_nothing_in_the_control_state_means_nothing_crosses(steps: list[Step], names: list[str]) -> None:
    publisher, recipient = (Party(organization=name) for name in names)
    held = of(after(steps))
    control = PLAYERS.fold("community").state.control
    for nothing in (Control(), replace(control, agreements={}), replace(control, organizations={})):
        for known in (held, consents.NONE):
            allowed = allowed_now(known, nothing, publisher, recipient, "shelter-placement", START)
            assert allowed.categories == frozenset()


@DETERMINISTIC
@given(steps=LOGS)
def test_without_a_consent_nothing_but_the_need_crosses(steps: list[Step]) -> None:
    fold = after([step for step in steps if step.verb not in ("grant", "restate")])
    assert {what[-1] for what in permitted(fold.state)} <= {"need"}


@DETERMINISTIC
@given(steps=LOGS, more=NARROWINGS, order=st.integers(1, 2000))
def test_adding_a_narrowing_never_permits_more(steps: list[Step], more: Step, order: int) -> None:
    narrowing = with_(more, modifiers={**more.modifiers, "order": order})
    assert permitted(after([*steps, narrowing]).state) <= permitted(after(steps).state)


@DETERMINISTIC
@given(steps=LOGS, more=LOGS, consent=st.sampled_from(["one", "another"]))
def test_what_was_entered_in_error_never_opens_again(steps: list[Step], more: list[Step], consent: str) -> None:
    """Neither by a later version nor by any record but a restatement, which says the whole anew."""
    later = [step for step in more if step.verb != "restate"]
    in_error = Step("in_error", {"consent": consent}, {"order": 1})
    fold = after([*steps, in_error, *later])
    whole = of(fold)
    everything = permitted(fold.state)
    fold.state.keep_consents(
        MARIA, replace(whole, grants=tuple(grant for grant in whole.grants if grant.consent.id != consent))
    )
    assert permitted(fold.state) == everything


@DETERMINISTIC
@given(steps=LOGS)
def test_removing_a_grant_or_an_agreement_never_permits_more(steps: list[Step]) -> None:
    fold = after(steps)
    everything, whole, control = permitted(fold.state), of(fold), fold.state.control
    for one in whole.grants:
        fold.state.keep_consents(
            MARIA, replace(whole, grants=tuple(grant for grant in whole.grants if grant is not one))
        )
        assert permitted(fold.state) <= everything
    for id_ in control.agreements:
        fold.state.control = replace(control, agreements={k: v for k, v in control.agreements.items() if k != id_})
        assert permitted(fold.state) <= everything


def test_whoever_had_a_permit_is_not_told_of_the_need_alone_whatever_was_forgotten_of_the_client() -> None:
    """No record forgets consents; if one ever does, what a recipient has had is still known."""
    boxes = {"boxes": ["need", "identity"]}
    those = records([Step("grant", {"categories": ["identity"]}, {}), *[Step("request", boxes, {})] * 2])
    fold = PLAYERS.fold("community")
    permitted_it = outputs(fold, those[:2])[-1]
    fold.state.consents.clear()
    forgotten = outputs(fold, those[2:])[-1]
    assert b'"verdict":"permit"' in permitted_it
    assert b'"verdict":"deny"' in forgotten


@DETERMINISTIC
@given(steps=LOGS, splits=st.lists(st.integers(0, 14), max_size=3))
def test_any_split_of_a_log_folds_to_the_same_state_and_bytes(steps: list[Step], splits: list[int]) -> None:
    those, whole, split = records(steps), PLAYERS.fold("community"), PLAYERS.fold("community")
    expected, found = outputs(whole, those), []
    for number, record in enumerate(those):
        if number in splits:
            split = Fold(state.restore(state.snapshot(split.state)))
        found += outputs(split, [record])
    assert found == expected
    assert state.snapshot(split.state) == state.snapshot(whole.state)


@DETERMINISTIC
@given(steps=LOGS, more=LOGS)
def test_what_was_decided_stays_decided_whatever_comes_after(steps: list[Step], more: list[Step]) -> None:
    shorter, longer = records(steps), records([*steps, *more])
    assert outputs(PLAYERS.fold("community"), shorter) == outputs(PLAYERS.fold("community"), longer)[: len(shorter)]


@DETERMINISTIC
@given(
    grants=st.lists(GRANTS, max_size=4),
    narrowings=st.lists(NARROWINGS, max_size=5),
    orders=st.permutations(range(1, 10)),
    data=st.data(),
)
def test_narrowings_in_any_sequence_and_repeated_say_the_same(
    grants: list[Step], narrowings: list[Step], orders: list[int], data: st.DataObject
) -> None:
    steps = [
        with_(step, modifiers={"order": 10 * order, "event_id": f"step-{number}"})
        for number, (step, order) in enumerate(zip([*grants, *narrowings], orders, strict=False))
    ]
    first = sorted(steps[: len(grants)], key=lambda step: int(step.modifiers["order"]))
    narrow = steps[len(grants) :]
    shuffled = data.draw(st.permutations(narrow + narrow[:2]))
    assert _folded(records([*first, *narrow])) == _folded(records([*first, *shuffled]))


def _folded(those: list[Record]) -> ClientConsents:
    found = consents.NONE
    for record in those:
        found = consents.apply(found, decode_event(record.value or b"")) or found  # type: ignore[arg-type] # consents only
    return found


@DETERMINISTIC
@given(
    value=st.dictionaries(st.text(max_size=5), st.integers(0, 9) | st.text(max_size=5), max_size=6), seed=st.integers()
)
def test_canonical_bytes_do_not_depend_on_the_order_of_a_dict(value: dict[str, Any], seed: int) -> None:
    keys = [key for key in value if "\0" not in f"{key}{value[key]}" and "\\u0000" not in f"{key}{value[key]}"]
    shuffled = random.Random(seed).sample(keys, len(keys))
    assert canonical.encode({key: value[key] for key in keys}) == canonical.encode(
        {key: value[key] for key in shuffled}
    )


def test_bytes_do_not_depend_on_the_hash_seed() -> None:
    """The golden log, folded in processes with other seeds, snapshots and all."""
    command = [sys.executable, "-m", "tests.policy.golden_log"]
    digests = {
        subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": seed}, check=True, capture_output=True, text=True
        ).stdout
        for seed in ("0", "1", "4242")
    }
    assert len(digests) == 1
    assert len(digests.pop().split()) == 3
