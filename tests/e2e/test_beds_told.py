"""A bed held on a running stack: told to the two whom it concerns, and counted in what everybody reads."""

from typing import Any

import pytest

from tests.support.providers import Provider, Providers
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_a_hold_is_told_to_its_holder_and_its_shelter_and_its_unit_to_who_asks(town: Providers) -> None:
    outreach, shelter, stranger = town.outreach, town.shelter, town.stranger
    change = {"types": ["*", "unit.availability"]}
    assert (await stranger.call("PATCH", "webhooks", f"/endpoints/{stranger.endpoint}", change)).status_code == 200
    unit = await shelter.post("shelter_beds", "/units", _unit(beds=5))
    asked: dict[str, Any] = {"unit_id": unit["id"], "beds": 2, "minutes": 30}
    hold = await outreach.post("shelter_beds", "/holds", asked)
    for organization in (outreach, shelter):
        [message] = await organization.told(hold["id"], "hold.placed")
        assert message["data"]["bed_ids"] == hold["bed_ids"]
        assert organization.requests(hold["door_code"]) == []
    await wait_until_async(lambda: _free(stranger, unit["id"])[-1:] == [3], what="three beds to be free")
    assert stranger.requests(hold["id"]) == []
    capacities = await stranger.get("shelter_beds", "/hsds/service_capacities", per_page=200)
    free = {each["service_id"].replace("-", ""): each["available"] for each in capacities["contents"]}
    assert free[unit["id"]] == 3
    await shelter.post("shelter_beds", f"/holds/{hold['id']}/check-in", {"door_code": hold["door_code"]})
    [arrived] = await outreach.told(hold["id"], "hold.checked_in")
    assert "expires_at" not in arrived["data"]


def _free(provider: Provider, unit_id: str) -> list[int]:
    """How many beds were free, by every message about a unit, in the order of its versions."""
    told = sorted(provider.heard(unit_id, "unit.availability"), key=lambda message: message["data"]["version"])
    return [message["data"]["available"] for message in told]


def _unit(beds: int) -> dict[str, Any]:
    return {"name": "Rooms", "project": "beds", "household_type": "with_children", "beds": beds}
