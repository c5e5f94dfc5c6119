"""Test organizations on a whole stack: they share no agreement, client index or bed with real ones, and stay tests."""

from typing import Any

import httpx
import pytest

from services.kit import keys
from services.shelter_beds.interop import hsds
from tests.e2e.test_governance_agreements import agreement
from tests.support.canary import Canaries
from tests.support.feed import listening
from tests.support.governance import Caller, is_problem, member, organization
from tests.support.kinds import dashed
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


HOUSE, STREET = "Canary Trial House 4712", "Canary Trial Street 4713"
LISTS = (
    "/units?limit=200", "/holds?limit=200", "/availability?limit=200", "/availability.csv",
    "/hsds/service_capacities?per_page=200", "/hsds/services?per_page=200", "/hsds/organizations?per_page=200",
    "/fhir/Location?_count=200", "/fhir/HealthcareService?_count=200",
)  # fmt: skip


@pytest.mark.asyncio(loop_scope="package")
async def test_a_tests_unit_stands_nowhere_that_a_real_organization_looks(
    running_stack: StackProcess, admin: Caller
) -> None:
    beds = running_stack.services["shelter_beds"]
    (shelter, at_its_desk), (_, trial) = (member(running_stack, admin, test=True) for _ in range(2))
    (real_shelter, at_a_real_desk), (_, real) = (member(running_stack, admin) for _ in range(2))
    unit = _unit(beds, at_its_desk, shelter, name=HOUSE, area=STREET)
    bed = _unit(beds, at_a_real_desk, real_shelter, name="Real House", area="Elm")
    uuid = dashed(unit)
    canaries = Canaries([HOUSE, STREET, unit, uuid, shelter, hsds.organization_id(shelter)])
    async with (
        listening(beds, _bearer(real)) as real_ears,
        listening(beds, _bearer(trial)) as trial_ears,
    ):
        await trial_ears.knows(unit, area=STREET, test=True)
        await real_ears.knows(bed)
        answers = [("feed", str(real_ears.events).encode())]
    for path in (*LISTS, f"/hsds/services/{uuid}", f"/fhir/Location/{unit}", f"/fhir/HealthcareService/{unit}"):
        answer = real.http.get(f"{beds}{path}")
        answers.append((path, answer.content if answer.status_code == 200 else b""))
        assert (answer.status_code == 404) == (uuid in path or unit in path), path
        assert path in LISTS[:2] or canaries.found(trial.http.get(f"{beds}{path}").content), path
    assert list(canaries.search(answers)) == []
    for each, theirs in ((real, unit), (trial, bed)):
        refused, unknown = (_hold(beds, each, unit_id) for unit_id in (theirs, keys.random_id()))
        is_problem(refused, 404, "not-found")
        assert refused.json() == unknown.json()
    assert [_hold(beds, *each).status_code for each in ((real, bed), (trial, unit))] == [201, 201]


def _unit(beds: str, caller: Caller, organization_id: str, **said: Any) -> str:
    project = {"id": "beds", "name": "Beds", "project_type": 1, "part2_program": False, "hmis_participation": "none"}
    assert caller.post(f"/organizations/{organization_id}/projects", project).status_code == 201
    usual = {"project": "beds", "household_type": "without_children", "beds": 3}
    made = caller.http.post(f"{beds}/units", json=usual | said)
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


def _hold(beds: str, caller: Caller, unit_id: str) -> httpx.Response:
    return caller.http.post(f"{beds}/holds", json={"unit_id": unit_id, "minutes": 5})


def _bearer(caller: Caller) -> dict[str, str]:
    return {"Authorization": str(caller.http.headers["authorization"])}
