"""Agreements on a whole stack: drafted, approved, suspended by their parties, and on every partition of the log."""

from typing import Any

import pytest

from tests.support.governance import PARTITIONS, Caller, controls, is_problem, member
from tests.support.stack import StackProcess
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def admin(running_stack: StackProcess) -> Caller:
    return Caller(running_stack, **running_stack.admin)


def agreement(*parties: str, **changes: object) -> dict[str, Any]:
    term = {
        "from": [parties[0]],
        "to": [parties[-1]],
        "purposes": ["shelter-placement"],
        "categories": ["identity", "household"],
        "deidentified": True,
    }
    return {"title": "Sharing", "parties": list(parties), "terms": [term]} | changes


def test_the_approval_of_every_party_puts_an_agreement_on_every_partition(
    running_stack: StackProcess, admin: Caller
) -> None:
    (a, caller_a), (b, caller_b), (c, caller_c) = (member(running_stack, admin) for _ in range(3))
    drafted = caller_a.post("/agreements", agreement(a, b, c))
    assert drafted.status_code == 201
    assert (drafted.json()["status"], drafted.json()["version"]) == ("draft", 1)
    path = f"/agreements/{drafted.json()['id']}"
    assert caller_b.post(f"{path}/approvals").json()["status"] == "draft"
    assert caller_b.post(f"{path}/approvals", {"actor": {"id": "u1", "role": "director"}}).json()["status"] == "draft"
    assert caller_c.post(f"{path}/approvals").json()["status"] == "draft"
    assert not any(drafted.json()["id"] in control.agreements for control in controls(running_stack))
    decided = caller_a.post(f"{path}/approvals", Prefer="wait=20")
    assert decided.headers["preference-applied"] == "wait=20"
    assert (decided.status_code, decided.json()["status"]) == (200, "active")
    assert [approval["organization"] for approval in decided.json()["approvals"]] == [b, c, a]
    said = [control.agreements[drafted.json()["id"]] for control in controls(running_stack)]
    assert said == [said[0]] * PARTITIONS
    assert (said[0].parties, said[0].terms[0].categories) == ((a, b, c), ("identity", "household"))
    assert caller_b.post(f"{path}/approvals").json()["status"] == "active"
    assert admin.get(path).json() == caller_c.get(path).json()


def test_only_parties_see_and_decide_an_agreement(running_stack: StackProcess, admin: Caller) -> None:
    (a, caller), (b, _), (_, stranger) = (member(running_stack, admin) for _ in range(3))
    path = f"/agreements/{caller.post('/agreements', agreement(a, b)).json()['id']}"
    is_problem(stranger.get(path), 404, "not-found")
    is_problem(stranger.post(f"{path}/approvals"), 404, "not-found")
    is_problem(stranger.post(f"{path}/suspension"), 404, "not-found")
    is_problem(stranger.post("/agreements", agreement(a, b)), 403, "not-a-party")
    is_problem(admin.post(f"{path}/approvals"), 403, "insufficient-scope")
    is_problem(caller.post(f"{path}/suspension"), 409, "wrong-status")
    assert admin.post("/agreements", agreement(a, b)).status_code == 201


def test_what_is_wrong_with_an_agreement_is_named(running_stack: StackProcess, admin: Caller) -> None:
    (a, caller), (b, _) = (member(running_stack, admin) for _ in range(2))

    def term(**changes: object) -> dict[str, Any]:
        return agreement(a, b, terms=[agreement(a, b)["terms"][0] | changes])

    wrong = [
        (agreement(a, b, parties=[a]), "invalid-body", "parties"),
        (agreement(a, b, parties=[a, b, a]), "invalid-body", "parties"),
        (agreement(a, b, parties=[a, b, "nobody"]), "unknown-organization", "parties.2"),
        (agreement(a, b, terms=[]), "invalid-body", "terms"),
        (agreement(a, b, activation={"rule": "coin"}), "invalid-body", "activation.rule"),
        (term(to=["nobody"]), "invalid-body", "terms.0.to.0"),
        (term(to=[]), "invalid-body", "terms.0.to"),
        (term(purposes=["marketing"]), "invalid-body", "terms.0.purposes.0"),
        (term(categories=["everything"]), "invalid-body", "terms.0.categories.0"),
        (term(categories=[], deidentified=False), "invalid-body", "terms.0"),
    ]
    for body, name, field in wrong:
        is_problem(caller.post("/agreements", body), 422, name, field)


def test_any_party_takes_an_agreement_out_of_force(running_stack: StackProcess, admin: Caller) -> None:
    (a, caller_a), (b, caller_b) = (member(running_stack, admin) for _ in range(2))
    made = caller_a.post("/agreements", agreement(a, b)).json()["id"]
    for caller in (caller_a, caller_b):
        caller.post(f"/agreements/{made}/approvals", Prefer="wait=20")
    suspended = caller_b.post(f"/agreements/{made}/suspension")
    assert suspended.status_code in {200, 202}
    assert suspended.json()["suspension_requested_at"] is not None
    wait_until(
        lambda: all(made in control.suspended for control in controls(running_stack)), what="the suspension on the log"
    )
    assert not any(made in control.agreements for control in controls(running_stack))
    is_problem(caller_a.post(f"/agreements/{made}/approvals"), 409, "wrong-status")
    again = caller_a.post(f"/agreements/{made}/suspension").json()
    assert again["suspension_requested_at"] == suspended.json()["suspension_requested_at"]
