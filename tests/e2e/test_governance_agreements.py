"""Agreements on a whole stack: drafted, approved, left, superseded, suspended, and on every partition of the log."""

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
        (agreement(a, b, activation={"rule": "share"}), "invalid-body", "activation.share"),
        (agreement(a, b, activation={"share": 0.5}), "invalid-body", "activation.share"),
        (agreement(a, b, activation={"rule": "share", "share": 0}), "invalid-body", "activation.share"),
        (agreement(a, b, activation={"rule": "share", "share": 1.01}), "invalid-body", "activation.share"),
        (agreement(a, b, activation={"rule": "share", "share": "0.5"}), "invalid-body", "activation.share"),
        (
            agreement(a, b, activation={"rule": "share", "share": 0.5, "must_include": [a, "nobody"]}),
            "invalid-body",
            "activation.must_include.1",
        ),
        (agreement(a, b, activation={"must_include": [a]}), "invalid-body", "activation.must_include"),
        (agreement(a, b, supersedes="nothing"), "invalid-body", "supersedes"),
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
        lambda: all(made in control.ended for control in controls(running_stack)), what="the suspension on the log"
    )
    assert not any(made in control.agreements for control in controls(running_stack))
    is_problem(caller_a.post(f"/agreements/{made}/approvals"), 409, "wrong-status")
    again = caller_a.post(f"/agreements/{made}/suspension").json()
    assert again["suspension_requested_at"] == suspended.json()["suspension_requested_at"]


def test_a_share_of_the_parties_decides_and_only_who_approved_is_in_it(
    running_stack: StackProcess, admin: Caller
) -> None:
    members = [member(running_stack, admin) for _ in range(5)]
    names = [name for name, _ in members]
    callers = dict(members)
    rule = {"rule": "share", "share": 0.6, "must_include": [names[4]]}
    drafted = callers[names[0]].post("/agreements", agreement(*names, activation=rule)).json()
    assert drafted["activation"] == rule
    path = f"/agreements/{drafted['id']}"

    def approve(name: str) -> dict[str, Any]:
        answer: dict[str, Any] = callers[name].post(f"{path}/approvals", Prefer="wait=20").json()
        return answer

    assert [approve(name)["status"] for name in names[:3]] == ["draft"] * 3  # three of five, without who must be
    decided = approve(names[4])
    assert (decided["status"], decided["in_force"]) == ("active", [*names[:3], names[4]])
    assert {control.agreements[drafted["id"]].parties for control in controls(running_stack)} == {
        (*names[:3], names[4])
    }
    joined = approve(names[3])
    assert (joined["status"], joined["in_force"], joined["spreading"]) == ("active", names, False)
    assert {control.agreements[drafted["id"]].parties for control in controls(running_stack)} == {tuple(names)}


def test_a_party_leaves_and_the_agreement_stays_for_the_others_while_there_are_two(
    running_stack: StackProcess, admin: Caller
) -> None:
    (a, caller_a), (b, caller_b), (c, caller_c) = (member(running_stack, admin) for _ in range(3))
    made = in_force(caller_a, agreement(a, b, c), caller_a, caller_b, caller_c)
    path = f"/agreements/{made}"
    left = caller_c.post(f"{path}/departure", {"actor": {"id": "u1", "role": "director"}}, Prefer="wait=20")
    assert (left.status_code, left.json()["status"], left.json()["in_force"]) == (200, "active", [a, b]), left.text
    assert [each["organization"] for each in left.json()["departures"]] == [c]
    assert all((made, c) in control.left and made in control.agreements for control in controls(running_stack))
    assert caller_c.post(f"{path}/departure").json()["departures"] == left.json()["departures"]
    is_problem(caller_c.post(f"{path}/approvals"), 409, "wrong-status")
    is_problem(admin.post(f"{path}/departure"), 403, "insufficient-scope")
    ended = caller_a.post(f"{path}/departure", Prefer="wait=20").json()
    assert ended["suspension_requested_at"] is not None
    suspended = caller_b.post(f"{path}/suspension", Prefer="wait=20").json()
    assert (suspended["status"], suspended["in_force"]) == ("suspended", [])
    is_problem(caller_b.post(f"{path}/departure"), 409, "wrong-status")


def test_who_takes_back_its_word_on_a_draft_is_never_in_it(running_stack: StackProcess, admin: Caller) -> None:
    (a, caller_a), (b, caller_b), (c, caller_c) = (member(running_stack, admin) for _ in range(3))
    drafted = caller_a.post("/agreements", agreement(a, b, c, activation={"rule": "share", "share": 0.5})).json()
    path = f"/agreements/{drafted['id']}"
    assert caller_c.post(f"{path}/approvals").json()["status"] == "draft"
    left = caller_c.post(f"{path}/departure")
    assert (left.status_code, left.json()["status"]) == (200, "draft")
    assert left.json()["departures"][0]["effective_at"] is not None
    assert caller_a.post(f"{path}/approvals").json()["status"] == "draft"
    decided = caller_b.post(f"{path}/approvals", Prefer="wait=20").json()
    assert (decided["status"], decided["in_force"]) == ("active", [a, b])


def test_the_first_decided_successor_takes_the_place_of_an_agreement(
    running_stack: StackProcess, admin: Caller
) -> None:
    (a, caller_a), (b, caller_b), (_, stranger) = (member(running_stack, admin) for _ in range(3))
    old = in_force(caller_a, agreement(a, b), caller_a, caller_b)
    is_problem(stranger.post("/agreements", agreement(a, b, supersedes=old)), 403, "not-a-party")
    first, second = (caller.post("/agreements", agreement(a, b, supersedes=old)).json() for caller in (caller_a, admin))
    assert (first["version"], second["version"], first["supersedes"]) == (2, 2, old)
    is_problem(caller_a.post("/agreements", agreement(a, b, supersedes=first["id"])), 409, "wrong-status", "supersedes")
    assert caller_a.post(f"/agreements/{second['id']}/approvals").json()["status"] == "draft"
    decided = caller_b.post(f"/agreements/{second['id']}/approvals", Prefer="wait=20").json()
    assert (decided["status"], decided["in_force"]) == ("active", [a, b])
    wait_until(
        lambda: caller_a.get(f"/agreements/{old}").json()["status"] == "superseded", what="the end of the old one"
    )
    ended = caller_a.get(f"/agreements/{old}").json()
    assert (ended["superseded_by"], ended["in_force"]) == (second["id"], [])
    assert ended["superseded_at"] is not None
    for control in controls(running_stack):
        assert old in control.ended
        assert (old in control.agreements, second["id"] in control.agreements) == (False, True)
    is_problem(caller_a.post(f"/agreements/{first['id']}/approvals"), 409, "wrong-status")
    for what in ("suspension", "departure", "approvals"):
        is_problem(caller_b.post(f"/agreements/{old}/{what}"), 409, "wrong-status")


def test_nobody_supersedes_an_agreement_of_others(running_stack: StackProcess, admin: Caller) -> None:
    (a, caller_a), (b, caller_b), (c, stranger), (d, _) = (member(running_stack, admin) for _ in range(4))
    old = in_force(caller_a, agreement(a, b), caller_a, caller_b)
    is_problem(stranger.post("/agreements", agreement(c, d, supersedes=old)), 422, "invalid-body", "supersedes")


def in_force(proposer: Caller, body: dict[str, Any], *approvers: Caller) -> str:
    """Propose an agreement, let them approve it, and return its id."""
    made = str(proposer.post("/agreements", body).json()["id"])
    statuses = [each.post(f"/agreements/{made}/approvals", Prefer="wait=20").json()["status"] for each in approvers]
    assert statuses[-1] == "active"
    return made
