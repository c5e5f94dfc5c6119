"""A project becomes confidential in the real governance: within seconds nobody is told where its unit is any more."""

import time
from typing import Any

import pytest

from tests.support.feed import Listener, listening
from tests.support.governance import Caller, is_problem, member
from tests.support.stack import StackProcess

pytestmark = pytest.mark.asyncio(loop_scope="package")
WITHIN = 5.0  # seconds; 3 is what is said in docs/decisions/017, of a machine that has time for it
STREET = "Canary Street 4711"
HIDDEN = {"confidential": True, "shown": "yes_no", "phone": "+1 555 0100"}


async def test_a_project_and_a_whole_organization_become_confidential(running_stack: StackProcess) -> None:
    beds, admin = running_stack.services["shelter_beds"], Caller(running_stack, **running_stack.admin)
    (marked, shelter), (fled_to, other) = member(running_stack, admin), member(running_stack, admin)
    by_project, by_organization = _unit(beds, shelter, marked), _unit(beds, other, fled_to)
    async with listening(beds, {"Authorization": str(other.http.headers["authorization"])}) as heard:
        for unit in (by_project, by_organization):
            await heard.knows(unit, area=STREET)
        project = f"/organizations/{marked}/projects/beds"
        is_problem(other.http.patch(project, json={"confidential": True}), 404, "not-found")
        assert shelter.http.patch(project, json={"confidential": True}).json()["confidential"]
        await _is_hidden(heard, by_project)
        is_problem(shelter.http.patch(project, json={"confidential": False}), 422, "invalid-body", "confidential")
        survivors = {"victim_service_provider": True}
        assert admin.http.patch(f"/organizations/{fled_to}", json=survivors).status_code == 200
        await _is_hidden(heard, by_organization)
        assert admin.http.patch(project, json={"confidential": False}).status_code == 200
        assert HIDDEN.items() <= heard.known[by_project].items()
    for path in (f"/hsds/services/{_uuid(by_project)}", f"/fhir/HealthcareService/{by_project}", "/availability.csv"):
        shown = other.http.get(f"{beds}{path}")
        assert (shown.status_code, STREET in shown.text) == (200, False), path


async def _is_hidden(heard: Listener, unit: str) -> None:
    began = time.monotonic()
    await heard.knows(unit, **HIDDEN)
    took = time.monotonic() - began
    print(f"hidden on the feed after {took:.2f} s")
    assert took < WITHIN
    assert STREET not in str(heard.known[unit])


def _unit(beds: str, caller: Caller, organization: str) -> str:
    project = {"id": "beds", "name": "Beds", "project_type": 1, "part2_program": False, "hmis_participation": "none"}
    assert caller.post(f"/organizations/{organization}/projects", project).status_code == 201
    said: dict[str, Any] = {"name": "Rooms", "project": "beds", "household_type": "with_children", "beds": 3}
    made = caller.http.post(f"{beds}/units", json=said | {"area": STREET, "phone": HIDDEN["phone"]})
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


def _uuid(unit: str) -> str:
    return "-".join((unit[:8], unit[8:12], unit[12:16], unit[16:20], unit[20:]))
