"""Units as FHIR R4 resources, read by an independent implementation of FHIR's models.

They are those of R4B, which took over these four resources from R4 as they were.
"""

import json
from typing import Any, get_args

import pytest
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.capabilitystatement import CapabilityStatement
from fhir.resources.R4B.healthcareservice import HealthcareService
from fhir.resources.R4B.location import Location
from pydantic import ValidationError

from schemas.beds import CapacityStatus, Unit
from services.shelter_beds.interop import fhir
from tests.contracts.interop_units import EVERY_KIND, NOW, by_phone, confidential, full, small

BASE = "https://beds.example/fhir"
CLOSED_NOW = {"opens_on": "2026-12-01"}


def numbers(resource: dict[str, Any]) -> dict[str, Any]:
    extension = next(each for each in resource["extension"] if each["url"] == fhir.AVAILABILITY)
    return {part["url"]: part.get("valueUnsignedInt", part.get("valueInstant")) for part in extension["extension"]}


@pytest.mark.parametrize("unit", EVERY_KIND, ids=lambda unit: unit.name)
def test_every_resource_is_one(unit: Unit) -> None:
    service = fhir.healthcare_service(unit, NOW)
    read = HealthcareService.model_validate_json(json.dumps(service))
    assert json.loads(read.model_dump_json()).keys() == service.keys()
    if (place := fhir.location(unit, NOW)) is not None:
        Location.model_validate_json(json.dumps(place))
        assert service["location"] == [{"reference": f"Location/{place['id']}"}]


def test_that_check_can_fail() -> None:
    for wrong in (
        {"beds": 3},
        {"active": "perhaps"},
        {"telecom": {"system": "phone"}},
        {"availableTime": [{"days": 1}]},
    ):
        with pytest.raises(ValidationError):
            HealthcareService.model_validate_json(json.dumps(fhir.healthcare_service(full(), NOW) | wrong))


def test_how_many_beds_are_free_is_said_in_words_and_in_numbers() -> None:
    unit = full()
    for resource in (fhir.healthcare_service(unit, NOW), fhir.location(unit, NOW)):
        assert resource is not None
        assert resource["availabilityExceptions"] == "3 of 12 beds free, as of 2026-11-26T01:20Z."
        assert numbers(resource) == {
            "maximum": 12,
            "available": 3,
            "held": 2,
            "occupied": 6,
            "offline": 1,
            "reportedAt": unit.reported_at,
        }


@pytest.mark.parametrize(
    ("unit", "words"),
    [
        (small(), "Has room, as of"),
        (small(open=False), "Has no room, as of"),
        (confidential(reported_at=None), "Has room."),
        (by_phone(), "Call to ask whether there is room."),
    ],
)
def test_where_no_counts_are_shown_there_is_no_number(unit: Unit, words: str) -> None:
    service = fhir.healthcare_service(unit, NOW)
    assert service["availabilityExceptions"].startswith(words)
    assert [each["url"] for each in service["extension"]] == [fhir.CAPACITY_STATUS]


@pytest.mark.parametrize("status", get_args(CapacityStatus))
def test_whether_there_is_room_is_said_as_gravity_has_it(status: CapacityStatus) -> None:
    first, *_ = fhir.healthcare_service(full(status=status), NOW)["extension"]
    (part,) = first["extension"]
    assert (first["url"], part["url"]) == (fhir.CAPACITY_STATUS, "capacityStatus")
    assert part["valueCodeableConcept"]["coding"][0]["code"] == status


def test_a_confidential_unit_is_nowhere() -> None:
    assert fhir.location(confidential(), NOW) is None
    service = fhir.healthcare_service(confidential(), NOW)
    assert service.keys() == {
        *("resourceType", "id", "meta", "identifier", "active", "providedBy", "type", "name", "telecom"),
        *("eligibility", "availabilityExceptions", "extension"),
    }


@pytest.mark.parametrize(
    ("unit", "code"),
    [
        (full(), "U"),
        (full(available=0, occupied=9, open=False), "O"),
        (full(open=False, status="waitlist"), None),
        (full(maximum=1, available=0, held=0, occupied=0, offline=1, open=False), None),
        (small(open=False), None),
        (full(**CLOSED_NOW, open=False), "C"),
        (by_phone(), None),
    ],
)
def test_a_bed_status_stands_only_where_it_fits(unit: Unit, code: str | None) -> None:
    place = fhir.location(unit, NOW)
    assert place is not None
    assert place.get("operationalStatus", {}).get("code") == code
    if code:
        assert place["operationalStatus"]["system"] == "http://terminology.hl7.org/CodeSystem/v2-0116"


def test_out_of_its_season_a_unit_is_not_active() -> None:
    unit = full(**CLOSED_NOW)
    assert fhir.healthcare_service(unit, NOW)["active"] is False
    assert (fhir.location(unit, NOW) or {})["status"] == "suspended"
    assert fhir.healthcare_service(unit, NOW)["notAvailable"] == [
        {"description": "Before the season", "during": {"end": "2026-11-30"}},
        {"description": "After the season", "during": {"start": "2027-04-01"}},
    ]


def test_pages_lead_to_each_other() -> None:
    resources = [fhir.healthcare_service(full(unit_id=f"{number:032x}"), NOW) for number in range(5)]
    seen, offset = [], 0
    while True:
        page = fhir.bundle(resources, BASE, "HealthcareService", offset, 2)
        Bundle.model_validate_json(json.dumps(page))
        assert (page["type"], page["total"]) == ("searchset", 5)
        seen += [entry["resource"]["id"] for entry in page["entry"]]
        links = {link["relation"]: link["url"] for link in page["link"]}
        assert ("previous" in links) == (offset > 0)
        if "next" not in links:
            break
        offset += 2
        assert links["next"] == f"{BASE}/HealthcareService?_count=2&_offset={offset}"
    assert seen == [each["id"] for each in resources]


def test_nothing_found_is_a_bundle() -> None:
    empty = fhir.bundle([], BASE, "Location", 0, 50)
    Bundle.model_validate_json(json.dumps(empty))
    assert (empty["total"], "entry" in empty) == (0, False)


def test_it_says_what_it_can() -> None:
    said = fhir.capability(BASE)
    CapabilityStatement.model_validate_json(json.dumps(said))
    assert said["fhirVersion"] == "4.0.1"
    assert {each["type"] for each in said["rest"][0]["resource"]} == {"Location", "HealthcareService"}
