"""Of a test organization's unit tests alone are told, and they are told of no other."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from services.kit.keys import random_id
from tests.conftest import Databases
from tests.support.hooked import Endpoint, Hooked, hooked
from tests.support.told_beds import Beds

pytestmark = pytest.mark.asyncio(loop_scope="module")
UNIT = "unit.availability"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(postgres: Databases) -> AsyncIterator[Hooked]:
    async with hooked(postgres.create_database("webhooks")) as found, found.serving():
        yield found


async def endpoints(town: Hooked) -> dict[bool, Endpoint]:
    """One of a real organization and one of a test, who asked for units by name."""
    found = {}
    for test in (False, True):
        organization = f"listener-{random_id()}"
        if test:
            town.community.tests.add(organization)
        found[test] = await Beds(town).endpoint(organization, UNIT)
    return found


async def told(town: Hooked, endpoint: Endpoint) -> set[str]:
    """The units of which an endpoint was told, once those are two."""
    await town.wait_states(endpoint, "delivered", "delivered")
    return {each.data["unit_id"] for each in endpoint.desk.received}


async def test_an_endpoint_is_told_of_units_of_its_own_kind(town: Hooked) -> None:
    listeners = await endpoints(town)
    units = {test: Beds(town) for test in (False, True)}
    ends = {test: Beds(town) for test in (False, True)}
    for said in (units, ends):
        for test, beds in said.items():
            await beds.availability(1, test=test)
    for test, endpoint in listeners.items():
        assert await told(town, endpoint) == {units[test].unit_id, ends[test].unit_id}
        assert [each.data.get("test", False) for each in endpoint.desk.received] == [test, test]


async def test_one_from_before_endpoints_knew_learns_it_from_its_organization(town: Hooked) -> None:
    """Until then it is told of real units, as it was before."""
    listeners = await endpoints(town)
    trial = listeners[True]
    town.do("UPDATE endpoints SET test = false WHERE id = %s", trial.id)
    real, unit = Beds(town), Beds(town)
    await real.availability(1)
    await trial.desk.wait()
    assert (await town.call(trial.organization, "GET", f"/endpoints/{trial.id}")).status_code == 200
    await real.availability(2)
    await unit.availability(1, test=True)
    assert await told(town, trial) == {real.unit_id, unit.unit_id}
    assert {each.data["version"] for each in trial.desk.received} == {1}


async def test_what_an_endpoint_was_told_when_a_test_was_taken_for_real_is_not_sent_again(town: Hooked) -> None:
    listeners = await endpoints(town)
    real, unit = listeners[False], Beds(town)
    await unit.availability(1)
    delivery = await town.delivery(real, "delivered")
    await unit.availability(2, test=True)
    await listeners[True].desk.wait()
    assert (await town.call(real.organization, "POST", f"/deliveries/{delivery['id']}/replay")).status_code == 202
    await town.wait_states(real, "not_sent")
    assert len(real.desk.received) == 1
