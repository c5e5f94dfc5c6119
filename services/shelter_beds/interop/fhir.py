"""HL7 FHIR R4: a unit is a HealthcareService, and unless it is confidential a Location. Pure.

Whether there is room is said as the SDOH Clinical Care guide (Gravity) has it, whose capacity statuses are ours. R4 has
no place for how many beds there are: `availabilityExceptions` says it in words, and an extension in numbers, of units
that show them. `operationalStatus` has the codes that the SANER guide has for beds.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

from schemas.beds import Unit
from services.shelter_beds.interop.units import HOUSEHOLDS, STATUSES, eligibility, is_in_season, kind

Resource = dict[str, Any]
Kind = Literal["Location", "HealthcareService"]

FHIR_VERSION: Final = "4.0.1"
SOFTWARE_DATE: Final = "2026-11-26"
AVAILABILITY: Final = "urn:threshold:fhir:bed-availability"
_GRAVITY: Final = "http://hl7.org/fhir/us/sdoh-clinicalcare"
CAPACITY_STATUS: Final = f"{_GRAVITY}/StructureDefinition/SDOHCC-ExtensionHealthcareServiceCapacityStatus"
CAPACITY_CODES: Final = f"{_GRAVITY}/CodeSystem/SDOHCC-CodeSystemTemporaryCodes"
BED_STATUSES: Final = "http://terminology.hl7.org/CodeSystem/v2-0116"
_OPERATIONAL: Final = {"C": "Closed", "O": "Occupied", "U": "Unoccupied"}
_COUNTS: Final = ("maximum", "available", "held", "occupied", "offline")
_EVERY_DAY: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CHARACTERISTICS: Final = {
    "accessible": "Wheelchair accessible",
    "couples": "Couples",
    "pets": "Pets",
    "low_barrier": "Low barrier",
}


def healthcare_service(unit: Unit, now: datetime) -> Resource:
    """Make a unit's HealthcareService."""
    characteristics = [text for name, text in _CHARACTERISTICS.items() if getattr(unit, name)]
    return _given(
        {
            **_head("HealthcareService", unit),
            "extension": [_capacity_status(unit), *_counts(unit)],
            "active": is_in_season(unit, now),
            "providedBy": _organization(unit),
            "type": [{"text": kind(unit)}],
            "location": [] if unit.confidential else [{"reference": f"Location/{unit.unit_id}"}],
            "name": unit.name,
            "comment": STATUSES[unit.status],
            "telecom": _telecom(unit),
            "eligibility": [{"comment": each} for each in _eligibility(unit)],
            "characteristic": [{"text": each} for each in characteristics],
            "availableTime": _intake(unit),
            "notAvailable": list(_closed(unit)),
            "availabilityExceptions": _in_words(unit),
        }
    )


def location(unit: Unit, now: datetime) -> Resource | None:
    """Make a unit's Location; None for a confidential one."""
    if unit.confidential:
        return None
    code = _operational(unit, is_in_season(unit, now))
    return _given(
        {
            **_head("Location", unit),
            "extension": _counts(unit),
            "status": "active" if is_in_season(unit, now) else "suspended",
            "operationalStatus": code and {"system": BED_STATUSES, "code": code, "display": _OPERATIONAL[code]},
            "name": unit.name,
            "mode": "instance",
            "telecom": _telecom(unit),
            "address": {"text": unit.area} if unit.area else None,
            "managingOrganization": _organization(unit),
            "availabilityExceptions": _in_words(unit),
        }
    )


MAKERS: Final[dict[Kind, Callable[[Unit, datetime], Resource | None]]] = {
    "Location": location,
    "HealthcareService": healthcare_service,
}


def bundle(resources: Sequence[Resource], base: str, kind_: Kind, offset: int, count: int) -> Resource:
    """Make a page of a search's results: `count` resources from the `offset`th on, and where the next ones are."""
    shown = resources[offset : offset + count]
    links = [{"relation": "self", "url": _page(base, kind_, offset, count)}]
    if offset > 0:
        links.append({"relation": "previous", "url": _page(base, kind_, max(offset - count, 0), count)})
    if offset + count < len(resources):
        links.append({"relation": "next", "url": _page(base, kind_, offset + count, count)})
    entries = [
        {"fullUrl": f"{base}/{kind_}/{each['id']}", "resource": each, "search": {"mode": "match"}} for each in shown
    ]
    found = {"resourceType": "Bundle", "type": "searchset", "total": len(resources), "link": links, "entry": entries}
    return _given(found)


def capability(base: str) -> Resource:
    """Say what can be asked for."""
    interactions = [{"code": "read"}, {"code": "search-type"}]
    security = {"description": "OAuth 2.0 client credentials; the scope beds:read"}
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": SOFTWARE_DATE,
        "kind": "instance",
        "implementation": {"description": "Units with beds and how many are free, to be read only", "url": base},
        "fhirVersion": FHIR_VERSION,
        "format": ["application/fhir+json"],
        "rest": [
            {
                "mode": "server",
                "security": security,
                "resource": [{"type": each, "interaction": interactions} for each in MAKERS],
            }
        ],
    }


def _page(base: str, kind_: Kind, offset: int, count: int) -> str:
    return f"{base}/{kind_}?_count={count}&_offset={offset}"


def _head(kind_: Kind, unit: Unit) -> Resource:
    return {
        "resourceType": kind_,
        "id": unit.unit_id,
        "meta": {"versionId": str(unit.version), "lastUpdated": unit.updated_at},
        "identifier": [{"system": "urn:ietf:rfc:3986", "value": UUID(unit.unit_id).urn}],
    }


def _organization(unit: Unit) -> Resource:
    identifier = {"system": "urn:threshold:organization", "value": unit.organization}
    return {"identifier": identifier, "display": unit.organization_name}


def _telecom(unit: Unit) -> list[Resource]:
    return [{"system": "phone", "value": unit.phone}] if unit.phone else []


def _eligibility(unit: Unit) -> Iterator[str]:
    yield HOUSEHOLDS[unit.household_type].capitalize()
    if said := eligibility(unit):
        yield said
    if unit.minimum_age is not None:
        yield f"From {unit.minimum_age} years"
    if unit.maximum_age is not None:
        yield f"Up to {unit.maximum_age} years"


def _operational(unit: Unit, in_season: bool) -> Literal["C", "O", "U"] | None:
    """The status of a unit as that of a bed, where it fits: one with a waiting list and free beds is neither."""
    if unit.open is None:
        return None
    if not in_season:
        return "C"
    if unit.open:
        return "U"
    return "O" if unit.available == 0 and unit.offline != unit.maximum else None


def _capacity_status(unit: Unit) -> Resource:
    code = {"coding": [{"system": CAPACITY_CODES, "code": unit.status}]}
    return {"url": CAPACITY_STATUS, "extension": [{"url": "capacityStatus", "valueCodeableConcept": code}]}


def _counts(unit: Unit) -> list[Resource]:
    """In numbers, where they are shown."""
    if unit.available is None:
        return []
    parts: list[Resource] = [{"url": name, "valueUnsignedInt": getattr(unit, name)} for name in _COUNTS]
    if unit.reported_at is not None:
        parts.append({"url": "reportedAt", "valueInstant": unit.reported_at})
    return [{"url": AVAILABILITY, "extension": parts}]


def _in_words(unit: Unit) -> str:
    """How many are free and since when that is known, in words."""
    if unit.open is None:
        return "Call to ask whether there is room."
    since = f", as of {unit.reported_at[:16]}Z" if unit.reported_at else ""
    if unit.available is None:
        return f"{'Has room' if unit.open else 'Has no room'}{since}."
    closed = "" if unit.open or not unit.available else ", but nobody is taken in now"
    return f"{unit.available} of {unit.maximum} beds free{since}{closed}."


def _intake(unit: Unit) -> list[Resource]:
    """Intake hours, every day; in the unit's own time, as R4 has it."""
    hours = {
        "availableStartTime": unit.intake_from and f"{unit.intake_from}:00",
        "availableEndTime": unit.intake_until and f"{unit.intake_until}:00",
    }
    shown = _given(hours)
    return [{"daysOfWeek": list(_EVERY_DAY), **shown}] if shown else []


def _closed(unit: Unit) -> Iterator[Resource]:
    """When it is out of its season; a FHIR period includes its last day."""
    if unit.opens_on is not None:
        last = date.fromisoformat(unit.opens_on) - timedelta(days=1)
        yield {"description": "Before the season", "during": {"end": last.isoformat()}}
    if unit.closes_on is not None:
        yield {"description": "After the season", "during": {"start": unit.closes_on}}


def _given(fields: Resource) -> Resource:
    """Leave out what is not given: FHIR knows neither null nor an empty list."""
    return {name: value for name, value in fields.items() if value is not None and value not in ([], "")}
