"""Test organizations on a whole stack: they share no agreement and no client index with real ones, and stay tests."""

import pytest

from services.kit import keys
from tests.e2e.test_governance_agreements import agreement
from tests.support.governance import Caller, is_problem, member, organization
from tests.support.stack import StackProcess
from tests.support.tables import direct


@pytest.fixture(scope="module")
def admin(running_stack: StackProcess) -> Caller:
    return Caller(running_stack, **running_stack.admin)


def test_an_agreement_is_of_test_organizations_or_of_real_ones(running_stack: StackProcess, admin: Caller) -> None:
    (real, caller), other = member(running_stack, admin), organization(admin)
    tests = [organization(admin, test=True) for _ in range(2)]
    is_problem(caller.post("/agreements", agreement(real, other, tests[0])), 422, "test-and-real", "parties.2")
    is_problem(admin.post("/agreements", agreement(tests[0], real)), 422, "test-and-real", "parties.1")
    assert admin.post("/agreements", agreement(*tests)).status_code == 201
    assert admin.post("/agreements", agreement(real, other)).status_code == 201


def test_a_draft_that_mixes_them_is_not_approved(running_stack: StackProcess, admin: Caller) -> None:
    """One from before such drafts were refused, when an organization could still become a test."""
    (a, caller_a), (b, caller_b) = (member(running_stack, admin) for _ in range(2))
    path = f"/agreements/{caller_a.post('/agreements', agreement(a, b)).json()['id']}"
    assert caller_b.post(f"{path}/approvals").status_code == 200
    with direct(running_stack.database("governance")) as connection:
        connection.execute("UPDATE organizations SET test = true WHERE id = %s", [b])
    is_problem(caller_a.post(f"{path}/approvals"), 422, "test-and-real", "parties.1")
    assert caller_a.get(path).json()["status"] == "draft"


def test_a_client_index_is_shared_by_test_organizations_or_by_real_ones(admin: Caller) -> None:
    real, test, system = organization(admin), organization(admin, test=True), f"hmis-{keys.random_id()[:8]}"
    mixed = {"id": system, "organizations": [test, real]}
    is_problem(admin.post("/identifier-systems", mixed), 422, "test-and-real", "organizations.1")
    assert admin.post("/identifier-systems", mixed | {"organizations": [test]}).status_code == 201


@pytest.mark.parametrize("is_test", [True, False])
def test_an_organization_stays_what_it_was_registered_as(admin: Caller, is_test: bool) -> None:
    made = organization(admin, test=is_test)
    for said in (True, False):
        change = admin.http.patch(f"/organizations/{made}", json={"name": "Another", "test": said})
        is_problem(change, 422, "invalid-body", "test")
    shown = admin.get(f"/organizations/{made}").json()
    assert (shown["test"], shown["name"]) == (is_test, "An organization")
