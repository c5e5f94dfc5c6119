"""The cases: what crosses is what their tables say."""

from collections import Counter
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from policy import reasons
from policy.decide import CLOSED
from schemas.disclosures import Decision, Disclosure
from tests.policy.case_files import Case, cases
from tests.policy.judging import faults
from tests.policy.paths import path_of
from tests.policy.playing import CURRENT, Players, disclosures
from tests.policy.scribe import written

PLAYERS = Players(CURRENT)


def test_default_deny() -> None:
    """Nothing in the state, so nothing crosses."""
    (case,) = (case for case in cases() if case.name == "default deny")
    assert case.world == "nothing"
    assert [decision.verdict for decision in PLAYERS.play(written(case))[-1].decisions] == ["deny"]


@pytest.mark.parametrize("case", cases(), ids=str)
def test_what_crosses_is_what_the_case_says(case: Case) -> None:
    assert faults(written(case), PLAYERS.play(written(case))) == []


def test_no_two_cases_take_the_same_path_to_the_same_outcome() -> None:
    ways: dict[object, list[str]] = {}
    for case in cases():
        ways.setdefault(_way(case), []).append(str(case))
    assert [names for names in ways.values() if len(names) > 1] == []


def test_a_case_that_another_repeats_is_found() -> None:
    """The control: other names and other categories are no other path."""
    first = cases()[0]
    assert _way(first) == _way(replace(first, name="the same in other words"))
    assert _way(first) != _way(replace(first, steps=first.steps[1:]))


def test_a_case_that_tells_it_wrong_is_found() -> None:
    """The control: what crosses is compared."""
    (case,) = (case for case in cases() if case.name == "a grant opens its categories, and no other")
    told, outputs = case.then["shelter"], PLAYERS.play(written(case))
    details: list[dict[str, Any]] = [
        {"withheld": {}},
        {"permit": ["identity"]},
        {"obligations": ["x"]},
        {"until": None},
    ]
    wrong: list[Any] = [{}, {"refuge": told}, "late", *({"shelter": told | detail} for detail in details)]
    for then in wrong:
        assert faults(replace(written(case), case=replace(case, then=then)), outputs)
    assert faults(replace(written(case), records=written(case).records[::-1]), outputs)


def test_there_are_enough_cases_and_each_has_a_name_of_its_own() -> None:
    assert len(cases()) >= 120
    assert [name for name, count in Counter(case.name for case in cases()).items() if count > 1] == []


@pytest.mark.parametrize("code", [*reasons.ALL, *reasons.OBLIGATIONS])
def test_each_code_is_seen_in_two_cases(code: str) -> None:
    assert sum(code in codes for codes in _codes().values()) >= 2


def test_no_case_shows_a_code_that_is_not_in_the_table() -> None:
    assert set().union(*_codes().values()) <= {*reasons.ALL, *reasons.OBLIGATIONS}


@cache
def _codes() -> dict[Case, set[str]]:
    """The codes that each case shows, by any of its records."""
    return {case: set().union(*map(_codes_of, PLAYERS.play(written(case)))) for case in cases()}


def _codes_of(disclosure: Disclosure) -> set[str]:
    found = {disclosure.result}
    for decision in disclosure.decisions:
        found.update(decision.reasons, decision.withheld.values(), decision.obligations)
    return found


def _way(case: Case) -> object:
    """How the case's records went through the policy, and to what: verdicts and codes, not names or categories."""
    folding = PLAYERS.fold(case.world)
    outcomes: list[Disclosure] = []
    path = path_of(lambda: outcomes.extend(disclosures(folding, written(case).records)))
    last = [(each.result, *sorted(map(_outcome, each.decisions))) for each in outcomes[-1:]]
    return path, tuple(last)


def _outcome(decision: Decision) -> tuple[object, ...]:
    closed = decision.status == CLOSED
    withheld = tuple(sorted(set(decision.withheld.values())))
    return decision.verdict, closed, decision.known_as or "", decision.reasons, withheld, decision.obligations
