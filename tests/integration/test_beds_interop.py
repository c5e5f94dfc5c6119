"""What other systems read of units: HSDS, FHIR and CSV from the running service, over the same rows as the feed."""

import csv
import io
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from fhir.resources.R4B.bundle import Bundle

from services.kit.auth import Scope
from services.shelter_beds.interop import hsds
from tests.conftest import Databases
from tests.contracts import hsds_shapes as shapes
from tests.support.shelter import OTHER, OUTREACH, SAFE_HOUSE, SHELTER, Shelter, opened

pytestmark = pytest.mark.asyncio(loop_scope="module")
HIDDEN_PLACE = "Elm and 3rd"
NOT_SHOWN = "Only if referred by the advocate"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shelter(postgres: Databases) -> AsyncIterator[Shelter]:
    async with opened(postgres.create_database("beds")) as found, found.serving():
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def units(shelter: Shelter) -> dict[str, str]:
    """A unit that shows all, one that is small, one that is confidential, and one that was withdrawn."""
    hidden = {"confidential": True, "shown": "yes_no", "phone": "+1 555 0199", "area": HIDDEN_PLACE}
    made = {
        "open": await shelter.unit(beds=5, area="Riverside", phone="+1 555 0100", name="=Rooms"),
        "small": await shelter.unit(beds=1, shown="yes_no"),
        "hidden": await shelter.unit(beds=4, organization=SAFE_HOUSE, eligibility=NOT_SHOWN, **hidden),
        "gone": await shelter.unit(),
    }
    await shelter.patch(SHELTER, f"/units/{made['gone']}", withdrawn=True)
    await shelter.hold(made["open"], beds=2)
    return made


async def test_a_hold_is_seen_in_every_form(shelter: Shelter, units: dict[str, str]) -> None:
    capacities = (await shelter.get(OTHER, "/hsds/service_capacities")).json()
    (capacity,) = shapes.page(capacities, shapes.CAPACITY)
    assert (capacity["available"], capacity["maximum"]) == (3, 5)
    service = (await shelter.get(OTHER, f"/hsds/services/{capacity['service_id']}")).json()
    shapes.check(service, shapes.FULL_SERVICE)
    assert service["capacities"] == [capacity]
    place = await shelter.get(OTHER, f"/fhir/Location/{units['open']}")
    assert place.headers["content-type"] == "application/fhir+json"
    assert place.json()["availabilityExceptions"].startswith("3 of 5 beds free")
    assert place.headers["etag"] == f'W/"{place.json()["meta"]["versionId"]}"'
    row = (await rows(shelter))[units["open"]]
    assert (row["available"], row["held"], row["name"], row["phone"]) == ("3", "2", "'=Rooms", "'+1 555 0100")


async def test_every_form_has_the_same_units_and_none_that_is_withdrawn(
    shelter: Shelter, units: dict[str, str]
) -> None:
    listed = {units[name] for name in ("open", "small", "hidden")}
    assert (await rows(shelter)).keys() == listed
    services = shapes.page((await shelter.get(OTHER, "/hsds/services")).json(), shapes.SERVICE)
    assert {each["id"].replace("-", "") for each in services} == listed
    assert {each["id"] for each in await found(shelter, "HealthcareService")} == listed
    assert {each["id"] for each in await found(shelter, "Location")} == {units["open"], units["small"]}


async def test_a_confidential_unit_is_found_by_phone_alone(shelter: Shelter, units: dict[str, str]) -> None:
    for path in ("/availability.csv", "/hsds/services", "/fhir/Location", "/fhir/HealthcareService"):
        text = (await shelter.get(OTHER, path)).text
        assert HIDDEN_PLACE not in text
        assert NOT_SHOWN not in text
    hidden = (await shelter.get(OTHER, f"/hsds/services/{_uuid(units['hidden'])}")).json()
    shapes.check(hidden, shapes.FULL_SERVICE)
    assert hidden["phones"][0]["number"] == "+1 555 0199"
    assert not {"service_at_locations", "capacities", "schedules"} & hidden.keys()
    assert (await shelter.get(OTHER, f"/fhir/Location/{units['hidden']}")).status_code == 404
    service = (await shelter.get(OTHER, f"/fhir/HealthcareService/{units['hidden']}")).json()
    assert "location" not in service


async def test_organizations_have_their_services(shelter: Shelter, units: dict[str, str]) -> None:
    listed = shapes.page((await shelter.get(OTHER, "/hsds/organizations")).json(), shapes.ORGANIZATION)
    assert {each["id"] for each in listed} == {hsds.organization_id(each) for each in (SHELTER, SAFE_HOUSE)}
    shown = (await shelter.get(OTHER, f"/hsds/organizations/{hsds.organization_id(SHELTER)}")).json()
    shapes.check(shown, shapes.FULL_ORGANIZATION)
    assert shown["organization_identifiers"][0]["identifier"] == SHELTER
    assert {each["id"] for each in shown["services"]} == {_uuid(units[name]) for name in ("open", "small")}


async def test_lists_come_in_pages_and_can_be_narrowed(shelter: Shelter, units: dict[str, str]) -> None:
    del units
    pages = [(await shelter.get(OTHER, "/hsds/services", page=str(n), per_page="2")).json() for n in (1, 2)]
    assert [len(shapes.page(each, shapes.SERVICE)) for each in pages] == [2, 1]
    own = (await shelter.get(OTHER, "/hsds/services", organization_id=hsds.organization_id(SAFE_HOUSE))).json()
    assert [each["organization"]["name"] for each in own["contents"]] == ["Harbor Shelter"]
    later = (await shelter.get(OTHER, "/hsds/services", modified_after="2999-01-01T00:00:00Z")).json()
    assert (later["empty"], later["total_items"]) == (True, 0)
    first = (await shelter.get(OTHER, "/fhir/HealthcareService", _count="2")).json()
    following = next(link["url"] for link in first["link"] if link["relation"] == "next")
    second = (await shelter.http.get(following, headers=shelter.headers(OTHER))).json()
    Bundle.model_validate(first)
    Bundle.model_validate(second)
    ids = [entry["resource"]["id"] for page in (first, second) for entry in page["entry"]]
    assert len(ids) == len(set(ids)) == first["total"] == 3


@pytest.mark.parametrize(
    "path", ["/hsds/services/no-such-one", "/hsds/organizations/no-such-one", "/fhir/HealthcareService/no-such-one"]
)
async def test_what_is_not_there_is_a_problem(shelter: Shelter, path: str) -> None:
    answer = await shelter.get(OTHER, path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("/hsds/services", {"page": "0"}),
        ("/hsds/services", {"per_page": "201"}),
        ("/hsds/services", {"modified_after": "yesterday"}),
        ("/fhir/Location", {"_count": "0"}),
        ("/fhir/Location", {"_offset": "-1"}),
    ],
)
async def test_a_parameter_that_is_none_is_named(shelter: Shelter, path: str, parameters: dict[str, str]) -> None:
    answer = await shelter.get(OTHER, path, **parameters)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == next(iter(parameters))


async def test_it_says_what_it_is(shelter: Shelter) -> None:
    about = (await shelter.get(OUTREACH, "/hsds")).json()
    assert about["version"] == "3.1"
    assert (await shelter.http.get(about["openapi_url"])).status_code == 200
    said = await shelter.get(OUTREACH, "/fhir/metadata")
    assert said.json()["implementation"]["url"] == "http://shelter_beds.test/fhir"


async def test_the_table_is_csv_and_nobody_keeps_it(shelter: Shelter) -> None:
    answer = await shelter.get(OTHER, "/availability.csv")
    assert answer.headers["content-type"] == "text/csv; header=present; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert (await shelter.get(None, "/availability.csv")).text == answer.text, "the administrator sees the same"
    refused = await shelter.http.get("/availability.csv", headers=shelter.headers(OTHER, [Scope.HOLDS_WRITE]))
    assert refused.status_code == 403


async def rows(shelter: Shelter) -> dict[str, dict[str, str]]:
    """The table's rows, by unit."""
    text = (await shelter.get(OTHER, "/availability.csv")).text
    return {row["unit_id"]: row for row in csv.DictReader(io.StringIO(text, newline=""), strict=True)}


async def found(shelter: Shelter, kind: str) -> list[dict[str, Any]]:
    """What a FHIR search finds."""
    page = (await shelter.get(OTHER, f"/fhir/{kind}")).json()
    Bundle.model_validate(page)
    assert {entry["resource"]["resourceType"] for entry in page["entry"]} == {kind}
    return [entry["resource"] for entry in page["entry"]]


def _uuid(unit_id: str) -> str:
    return f"{unit_id[:8]}-{unit_id[8:12]}-{unit_id[12:16]}-{unit_id[16:20]}-{unit_id[20:]}"
