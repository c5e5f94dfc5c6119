"""Units as HSDS 3.1 has them: every object in its shape, nothing invented, and a confidential unit nowhere."""

from datetime import datetime, timedelta
from uuid import uuid4

import pytest

from schemas.beds import Unit
from services.shelter_beds.interop import hsds
from tests.contracts import hsds_shapes as shapes
from tests.contracts.interop_units import EVERY_KIND, NOW, by_phone, confidential, full, small


def by_name(unit: Unit) -> str:
    return f"{unit.shown}{'-confidential' if unit.confidential else ''}"


@pytest.mark.parametrize("unit", EVERY_KIND, ids=by_name)
def test_every_object_has_its_shape(unit: Unit) -> None:
    shapes.check(hsds.service(unit, NOW), shapes.SERVICE)
    shapes.check(hsds.full_service(unit, NOW), shapes.FULL_SERVICE)
    shapes.check(hsds.organization([unit]), shapes.ORGANIZATION)
    shapes.check(hsds.full_organization([unit], NOW), shapes.FULL_ORGANIZATION)


def test_a_capacity_says_how_many_beds_are_free_and_of_how_many() -> None:
    found = hsds.capacity(full())
    shapes.check(found, shapes.CAPACITY)
    assert found is not None
    assert (found["available"], found["maximum"], found["unit"]["name"]) == (3, 12, "bed")
    assert (found["service_id"], found["updated"]) == (hsds.service_id(full()), full().updated_at)
    assert hsds.full_service(full(), NOW)["capacities"] == [found]


@pytest.mark.parametrize("unit", [small(), confidential(), by_phone()], ids=by_name)
def test_where_no_counts_are_shown_no_number_is_invented(unit: Unit) -> None:
    assert hsds.capacity(unit) is None
    assert "capacities" not in hsds.full_service(unit, NOW)


def test_a_confidential_service_has_a_phone_and_no_place() -> None:
    shown = hsds.full_service(confidential(), NOW)
    assert shown.keys() == {
        *("id", "organization_id", "organization", "name", "description", "status", "last_modified", "phones"),
    }
    assert shown["name"] == shown["organization"]["name"] == "Safe House"


def test_what_a_navigator_must_know_is_there() -> None:
    shown = hsds.full_service(full(gender_policy="women", veterans_only=True, status="waitlist"), NOW)
    assert shown["eligibility_description"] == "Women; Veterans; Families with a child under 18"
    assert shown["alert"] == "Waiting list"
    assert shown["required_documents"][0]["document"] == "Photo identification"
    (schedule,) = shown["schedules"]
    assert (schedule["opens_at"], schedule["closes_at"]) == ("16:00-06:00", "21:00-06:00")
    assert (schedule["valid_from"], schedule["valid_to"]) == ("2026-11-01", "2027-03-31")
    (at,) = shown["service_at_locations"]
    assert (at["location"]["name"], at["location"]["accessibility"][0]["description"]) == (
        "Riverside",
        "Wheelchair accessible",
    )


@pytest.mark.parametrize(("days", "status"), [(-40, "temporarily closed"), (0, "active"), (200, "temporarily closed")])
def test_out_of_its_season_a_service_is_closed(days: int, status: str) -> None:
    assert hsds.service(full(), NOW + timedelta(days=days))["status"] == status


def test_ids_are_the_same_on_each_reading_and_of_each_object_its_own() -> None:
    first, second = (hsds.full_service(full(), NOW) for _ in range(2))
    assert first == second
    ids = [each["id"] for objects in first.values() if isinstance(objects, list) for each in objects]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("number", "contents", "first", "last"),
    [(1, ["a", "b"], True, False), (2, ["c", "d"], False, False), (3, ["e"], False, True), (4, [], False, True)],
)
def test_pages_are_cut_as_the_api_has_them(number: int, contents: list[str], first: bool, last: bool) -> None:
    objects = [{"id": str(uuid4()), "name": name} for name in "abcde"]
    page = hsds.page(objects, number, 2)
    shapes.page(page, shapes.UNIT)
    assert ([each["name"] for each in page["contents"]], page["first_page"], page["last_page"]) == (
        contents,
        first,
        last,
    )
    assert (page["total_items"], page["total_pages"], page["page_number"]) == (5, 3, number)


def test_no_page_of_nothing_is_a_page() -> None:
    assert hsds.page([], 1, 50) | {"contents": []} == {
        "total_items": 0,
        "total_pages": 0,
        "page_number": 1,
        "size": 0,
        "first_page": True,
        "last_page": True,
        "empty": True,
        "contents": [],
    }


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"id": "harbor"}, "it.id"),
        ({"available": "3"}, "it.available"),
        ({"updated": "yesterday"}, "it.updated"),
        ({"beds": 3}, "beds"),
        ({"unit": {"id": str(uuid4())}}, "it.unit"),
    ],
)
def test_the_check_refuses_what_is_wrong(changes: dict[str, object], where: str) -> None:
    found = hsds.capacity(full())
    assert found is not None
    with pytest.raises(AssertionError, match=where):
        shapes.check(found | changes, shapes.CAPACITY)


def test_time_zones_offsets_follow_the_day() -> None:
    summer = hsds.full_service(full(), datetime.fromisoformat("2027-07-01T12:00:00+00:00"))
    assert summer["schedules"][0]["opens_at"] == "16:00-05:00"
