"""Open Referral HSDS 3.1: a unit is a service with its capacity. Pure.

HSDS counts services and not buildings, so what is confidential fits: such a service has no location, and one that
shows no counts has no capacity object, since HSDS requires a number there and none may be invented.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from schemas.beds import Bring, Unit
from services.shelter_beds.interop.units import HOUSEHOLDS, STATUSES, TO_BRING, eligibility, is_in_season, kind

Object = dict[str, Any]

VERSION: Final = "3.1"
PROFILE: Final = "https://docs.openreferral.org/"
"""No profile of our own: HSDS as it is."""
# A constant of ours, from which ids follow: HSDS wants UUIDs, and they must be the same on each reading.
_OURS: Final = UUID("6f0f7f0c-7c2d-5d0e-9a52-3c1f4d1f4b11")
_DOCUMENTS: Final[frozenset[Bring]] = frozenset({"photo_id", "income_proof", "tb_test", "referral_letter"})
_EVERY_DAY: Final = "MO,TU,WE,TH,FR,SA,SU"
BED: Final[Object] = {"id": str(uuid5(_OURS, "unit of measure: bed")), "name": "bed"}
"""HSDS' unit is what is counted."""


def service_id(unit: Unit) -> str:
    """Give a unit's id as HSDS writes it: the same 128 bits, as a UUID."""
    return str(UUID(unit.unit_id))


def organization_id(organization: str) -> str:
    """Give the UUID of an organization."""
    return str(uuid5(_OURS, f"organization/{organization}"))


def capacity(unit: Unit) -> Object | None:
    """Make a unit's service_capacity; None where the unit does not show its counts."""
    if unit.available is None or unit.maximum is None:
        return None
    return {
        "id": _of(unit, "capacity"),
        "service_id": service_id(unit),
        "unit": BED,
        "available": unit.available if unit.open else 0,  # a free bed to which nobody can come is none
        "maximum": unit.maximum,
        "description": f"Beds for {HOUSEHOLDS[unit.household_type]}",
        "updated": unit.updated_at,
    }


def service(unit: Unit, now: datetime) -> Object:
    """Make a service as it stands in a list: without what there may be several of."""
    return _given(
        {
            "id": service_id(unit),
            "organization_id": organization_id(unit.organization),
            "name": unit.name,
            "description": f"{kind(unit)}, for {HOUSEHOLDS[unit.household_type]}",
            "status": "active" if is_in_season(unit, now) else "temporarily closed",
            "eligibility_description": eligibility(unit),
            "minimum_age": unit.minimum_age,
            "maximum_age": unit.maximum_age,
            "alert": STATUSES[unit.status],
            "last_modified": unit.updated_at,
            "organization": _organization(unit),
        }
    )


def full_service(unit: Unit, now: datetime) -> Object:
    """Make a service with all that is said of it."""
    counted = capacity(unit)
    several: Mapping[str, Sequence[Object]] = {
        "phones": [{"id": _of(unit, "phone"), "number": unit.phone}] if unit.phone else [],
        "schedules": _schedules(unit, now),
        "required_documents": [
            {"id": _of(unit, f"document/{each}"), "document": TO_BRING[each]}
            for each in unit.bring
            if each in _DOCUMENTS
        ],
        "service_at_locations": _at_locations(unit),
        "capacities": [counted] if counted else [],
    }
    return service(unit, now) | {name: objects for name, objects in several.items() if objects}


def organization(units: Sequence[Unit]) -> Object:
    """Make an organization as it stands in a list, from one of its units or more."""
    return _organization(units[0])


def full_organization(units: Sequence[Unit], now: datetime) -> Object:
    """Make an organization with its services, from all its units."""
    shown = organization(units)
    identifier = {
        "id": str(uuid5(_OURS, f"identifier/{units[0].organization}")),
        "organization_id": shown["id"],
        "identifier_type": "threshold",
        "identifier": units[0].organization,
    }
    services = [{name: service(unit, now)[name] for name in ("id", "name", "status")} for unit in units]
    return shown | {"organization_identifiers": [identifier], "services": services}


def page(objects: Sequence[Object], number: int, size: int) -> Object:
    """Cut a page, counted from 1, as HSDS' API has it."""
    shown = objects[(number - 1) * size : number * size]
    pages = -(-len(objects) // size)
    return {
        "total_items": len(objects),
        "total_pages": pages,
        "page_number": number,
        "size": len(shown),
        "first_page": number == 1,
        "last_page": number >= pages,
        "empty": not shown,
        "contents": shown,
    }


def _organization(unit: Unit) -> Object:
    description = "Has beds for people who are experiencing homelessness"
    return {"id": organization_id(unit.organization), "name": unit.organization_name, "description": description}


def _schedules(unit: Unit, now: datetime) -> list[Object]:
    """When it takes people in: every day, with the offset from UTC that holds there now."""
    if unit.intake_from is None or unit.intake_until is None:
        return []
    offset = now.astimezone(ZoneInfo(unit.time_zone)).isoformat()[-6:]
    closes = None if unit.closes_on is None else datetime.fromisoformat(unit.closes_on) - timedelta(days=1)
    schedule = {
        "id": _of(unit, "intake"),
        "service_id": service_id(unit),
        "description": "Intake",
        "freq": "WEEKLY",
        "byday": _EVERY_DAY,
        "opens_at": unit.intake_from + offset,
        "closes_at": unit.intake_until + offset,
        "valid_from": unit.opens_on,
        "valid_to": None if closes is None else closes.date().isoformat(),
    }
    return [_given(schedule)]


def _at_locations(unit: Unit) -> list[Object]:
    """Where it is; a confidential unit is nowhere."""
    if unit.confidential:
        return []
    location: Object = {"id": _of(unit, "location"), "location_type": "physical", "name": unit.area or unit.name}
    if unit.accessible:
        location["accessibility"] = [{"id": _of(unit, "accessibility"), "description": "Wheelchair accessible"}]
    return [{"id": _of(unit, "at"), "service_id": service_id(unit), "location": location}]


def _of(unit: Unit, what: str) -> str:
    return str(uuid5(UUID(unit.unit_id), what))


def _given(fields: Object) -> Object:
    return {name: value for name, value in fields.items() if value is not None}
