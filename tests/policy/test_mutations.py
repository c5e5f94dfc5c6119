"""Each rule of the policy is deleted in turn, and a case sees it: the cases hold every one of them."""

import ast
import importlib
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from tests.policy.case_files import Case, cases
from tests.policy.judging import faults
from tests.policy.mutants import FOLDER, Mutant, mutants
from tests.policy.paths import lines_of
from tests.policy.playing import CURRENT, Players, Policy, disclosures
from tests.policy.scribe import written

SURVIVORS = Path(__file__).parent / "survivors.yaml"
MODULES = ("allowed", "regimes", "decide", "consents", "control", "parse", "step", "answer", "state")


@pytest.mark.parametrize("module", MODULES)
def test_whichever_rule_is_deleted_a_case_sees_it(module: str) -> None:
    survivors = {mutant.name for mutant in mutants(module) if not killed(mutant, cases())}
    assert survivors == {name for name in explained() if name.startswith(f"{module}.")}


def test_every_survivor_is_explained_as_one_that_changes_nothing() -> None:
    assert {name.split(".")[0] for name in explained()} <= set(MODULES)
    assert [name for name, reason in explained().items() if len(reason.split()) < 5] == []


@pytest.mark.parametrize("module", MODULES)
def test_a_policy_without_changes_survives(module: str) -> None:
    """The control: what kills the mutants is their change, not the way in which they are loaded."""
    tree = ast.parse((FOLDER / f"{module}.py").read_text(encoding="utf-8"))
    assert not killed(Mutant(module, "unchanged", range(0), tree), cases())


def test_a_rule_that_no_case_knows_is_found() -> None:
    """The control: without the cases of half-open intervals nobody sees that an interval has grown by an instant."""
    (mutant,) = (one for one in mutants("allowed") if "by one in `now >= grant.consent.expires_at`" in one.name)
    assert killed(mutant, cases())
    at_the_end = ("at its last instant", "when the consent that lifted it has expired")
    assert not killed(mutant, [case for case in cases() if not any(words in case.name for words in at_the_end)])


def killed(mutant: Mutant, those: Iterable[Case]) -> bool:
    """Whether one of these cases sees the difference, or the mutant breaks down."""
    try:
        players = Players(loaded(mutant))
        return any(faults(written(case), players.play(written(case))) for case in _those_at_first(mutant, those))
    except Exception:  # noqa: BLE001 - whatever a broken policy raises is seen
        return True


def loaded(mutant: Mutant) -> Policy:
    """A policy of its own, in which one module is the mutant."""
    ours = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "policy"}
    try:
        for name in ours:
            del sys.modules[name]
        package, name = importlib.import_module("policy"), f"policy.{mutant.module}"
        module = sys.modules[name] = ModuleType(name)
        setattr(package, mutant.module, module)
        code = compile(mutant.tree, str(FOLDER / f"{mutant.module}.py"), "exec")
        exec(code, vars(module))  # noqa: S102 - our own source, with one rule deleted
        step, state = importlib.import_module("policy.step"), importlib.import_module("policy.state")
        return Policy(step.Fold, state.PartitionState, state.snapshot, state.restore)
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "policy"]:
            del sys.modules[name]
        sys.modules.update(ours)


def _those_at_first(mutant: Mutant, those: Iterable[Case]) -> list[Case]:
    """First the cases that come by the rule: most mutants are seen at once."""
    places = {(f"{mutant.module}.py", line) for line in mutant.lines}
    return sorted(those, key=lambda case: not places & _lines()[case])


@cache
def _lines() -> dict[Case, frozenset[tuple[str, int]]]:
    players = Players(CURRENT)
    foldings = {case: players.fold(case.world) for case in cases()}
    return {
        case: lines_of(lambda case=case: disclosures(foldings[case], written(case).records))  # type: ignore[misc]
        for case in cases()
    }


@cache
def explained() -> dict[str, str]:
    """The mutants that no case can see, and why."""
    found: dict[str, str] = yaml.safe_load(SURVIVORS.read_text(encoding="utf-8"))
    return found
