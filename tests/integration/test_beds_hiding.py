"""A project becomes confidential in governance: its units are hidden by themselves, at once, and stay so."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
from fastapi import FastAPI

from services.kit import logs
from services.kit.beside import beside
from services.kit.clients import ServiceClient
from services.kit.database import Database
from services.kit.service import create_service
from services.shelter_beds.hiding import hide, keep_hiding
from tests.conftest import Databases
from tests.support.feed import served_at
from tests.support.governance import is_problem
from tests.support.ports import free_port_base
from tests.support.shelter import OUTREACH, SHELTER, Shelter, opened, projects
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.asyncio(loop_scope="module")
PLACE = {"name": "Canary House", "area": "Canary Street", "intake_from": "16:00", "eligibility": "Canary door"}
NUMBERS = {"available", "held", "occupied", "offline", "maximum"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shelter(postgres: Databases) -> AsyncIterator[Shelter]:
    async with opened(postgres.create_database("shelter_beds")) as found, found.serving():
        yield found


async def test_a_unit_of_a_project_that_becomes_confidential_is_hidden_by_nobody(shelter: Shelter) -> None:
    unit = await shelter.unit(3, project="fled-to", phone="555 0100", **PLACE)
    other = await shelter.unit(2, project="stays-known", area="Elm")
    hold = await shelter.hold(unit, beds=2)
    shelter.confidential.add((SHELTER, "fled-to"))
    said = await _hidden(shelter, unit)
    assert "Canary" not in str(said)
    assert (said["phone"], said["name"], said["shown"], said["open"]) == ("555 0100", "Harbor Shelter", "yes_no", True)
    assert not NUMBERS & set(said)
    [registered, _, changed] = (await shelter.get(SHELTER, f"/units/{unit}/changes")).json()["items"]
    assert (registered["what"], registered["organization"]) == ("registered", SHELTER)
    assert (changed["what"], changed["organization"], changed["api_client"], changed["actor"]) == (
        "changed", None, None, None,
    )  # fmt: skip
    assert changed["details"] == {"confidential": True, "shown": "yes_no", "hold_policy": "request"}
    seen = (await shelter.get(OUTREACH, f"/holds/{hold['id']}")).json()
    assert (seen["state"], seen["beds"], seen["bed_ids"]) == ("placed", 2, [])
    assert len((await shelter.get(SHELTER, f"/holds/{hold['id']}")).json()["bed_ids"]) == 2
    assert await shelter.counts(unit) == (1, 2, 0, 0)
    assert (await shelter.said_of(other))[-1].area == "Elm"


async def test_nothing_is_shown_again_by_itself(shelter: Shelter) -> None:
    unit = await shelter.unit(2, project="for-a-while", phone="555 0100", **PLACE)
    marked = (SHELTER, "for-a-while")
    shelter.confidential.add(marked)
    await _hidden(shelter, unit)
    shelter.confidential.remove(marked)
    async with _governance(shelter) as client:
        await hide(shelter.app.state.database, client)
    assert (await shelter.get(SHELTER, f"/units/{unit}")).json()["profile"]["confidential"]
    is_problem(await shelter.patch(SHELTER, f"/units/{unit}", confidential=False), 422, "invalid-body", "confidential")
    assert (await shelter.patch(None, f"/units/{unit}", confidential=False)).status_code == 200
    assert (await shelter.said_of(unit))[-1].area == PLACE["area"]


async def test_which_beds_a_hold_has_is_not_told_from_when_its_shelter_hides_them(shelter: Shelter) -> None:
    unit = await shelter.unit(3)
    hold = await shelter.hold(unit, beds=2)
    assert len(hold["bed_ids"]) == 2
    assert (await shelter.patch(SHELTER, f"/units/{unit}", shown="yes_no", hold_policy="request")).status_code == 200
    assert (await shelter.get(OUTREACH, f"/holds/{hold['id']}")).json()["bed_ids"] == []
    assert shelter.sql("SELECT discreet FROM holds WHERE id = %s", hold["id"]) == [(True,)]


async def test_a_unit_without_a_phone_is_hidden_too_and_its_shelter_goes_on_working(shelter: Shelter) -> None:
    unit = await shelter.unit(2, project="no-phone", **PLACE)
    shelter.confidential.add((SHELTER, "no-phone"))
    assert "phone" not in await _hidden(shelter, unit)
    counted = await shelter.census(SHELTER, unit, available=0, as_of=datetime.now(UTC).isoformat())
    assert counted.status_code == 200
    assert (await shelter.patch(SHELTER, f"/units/{unit}", pets=True)).status_code == 200
    assert (await shelter.patch(SHELTER, f"/units/{unit}", phone="555 0100")).status_code == 200
    is_problem(await shelter.patch(SHELTER, f"/units/{unit}", phone=None), 422, "invalid-body", "phone")
    assert (await shelter.patch(SHELTER, f"/units/{unit}", withdrawn=True)).status_code == 200


async def test_a_unit_to_call_stays_one_that_is_called(shelter: Shelter) -> None:
    unit = await shelter.unit(2, project="called", shown="call", hold_policy="none", phone="555 0100", area="Elm")
    shelter.confidential.add((SHELTER, "called"))
    said = await _hidden(shelter, unit)
    assert (said["shown"], said["hold_policy"], "area" in said, "open" in said) == ("call", "none", False, False)


async def test_two_processes_that_see_it_hide_a_unit_once(shelter: Shelter) -> None:
    unit = await shelter.unit(2, project="seen-twice", phone="555 0100")
    marked = {(SHELTER, "seen-twice")}
    async with _governance(shelter, marked) as client:
        await asyncio.gather(*(hide(shelter.app.state.database, client) for _ in range(2)))
    changes = (await shelter.get(SHELTER, f"/units/{unit}/changes")).json()["items"]
    assert [change["what"] for change in changes] == ["registered", "changed"]


async def test_while_governance_is_away_nothing_changes_and_it_is_said_once(shelter: Shelter) -> None:
    unit = await shelter.unit(2, project="later", phone="555 0100")
    governance, printed = _app(shelter, {(SHELTER, "later")}), io.StringIO()
    logs.configure("shelter_beds", printed)
    database: Database = shelter.app.state.database
    with free_port_base() as base:
        client = _client(shelter, base + 1)
        asked = _Counted(client)
        async with beside(keep_hiding(database, asked, every=0.01)):
            await wait_until_async(lambda: asked.times > 5, what="to be asked again and again")
            assert not (await shelter.get(SHELTER, f"/units/{unit}")).json()["profile"]["confidential"]
            async with served_at(governance, base + 1):
                await _hidden(shelter, unit)
            before = asked.times
            await wait_until_async(lambda: asked.times > before + 5, what="to be asked on")
        await client.close()
    warned = [line for line in map(json.loads, printed.getvalue().splitlines()) if line["level"] == "warning"]
    assert [line["event"] for line in warned] == ["nobody can say which units are not for everybody"] * 2
    assert (await shelter.get(SHELTER, f"/units/{unit}")).json()["profile"]["confidential"]


class _Counted(ServiceClient):
    """The client, which counts how often it was used."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client
        self.times = 0

    async def get(self, path: str, parameters: Any = None) -> Any:
        self.times += 1
        return await self._client.get(path, parameters)


async def _hidden(shelter: Shelter, unit: str) -> dict[str, Any]:
    """Wait until a unit is said to be confidential; return what anybody can read of it then."""

    async def found() -> dict[str, Any] | None:
        listed = (await shelter.get(OUTREACH, "/availability", limit="200")).json()["items"]
        return next((each for each in listed if each["unit_id"] == unit and each.get("confidential")), None)

    said: dict[str, Any] = await wait_until_async(found, what="the unit to be hidden")
    [*_, last] = await shelter.said_of(unit)
    assert last.confidential
    return said


def _app(shelter: Shelter, confidential: set[tuple[str, str]]) -> FastAPI:
    return create_service(shelter.community.settings("governance"), routers=[projects(confidential)])


def _client(shelter: Shelter, port: int) -> ServiceClient:
    services = {"governance": f"http://127.0.0.1:{port}"}
    return ServiceClient(shelter.settings.model_copy(update={"services": services}), "governance")


@asynccontextmanager
async def _governance(
    shelter: Shelter, confidential: set[tuple[str, str]] | None = None
) -> AsyncIterator[ServiceClient]:
    """A governance of its own, over a socket."""
    with free_port_base() as base:
        async with AsyncExitStack() as running:
            await running.enter_async_context(served_at(_app(shelter, confidential or set()), base + 1))
            client = _client(shelter, base + 1)
            running.push_async_callback(client.close)
            yield client
