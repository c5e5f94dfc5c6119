"""What Open Referral HSDS 3.1 asks of the objects that we answer with, in our own words, and a check against it.

As of branch 3.1-dev of its repository, commit abc731c8 (October 2024). A name with `!` is required there; the values
are HSDS' types and formats. HSDS allows more fields than these; what is not listed is not ours, and refused here.
"""

from collections.abc import Callable
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

Shape = dict[str, Any]

UNIT: Final[Shape] = {"id!": "uuid", "name!": "string"}
CAPACITY: Final[Shape] = {
    "id!": "uuid",
    "service_id": "uuid",
    "unit!": UNIT,
    "available!": "number",
    "maximum": "number",
    "description": "string",
    "updated!": "date-time",
}
ORGANIZATION: Final[Shape] = {"id!": "uuid", "name!": "string", "description!": "string"}
IDENTIFIER: Final[Shape] = {
    "id!": "uuid",
    "organization_id": "uuid",
    "identifier_type!": "string",
    "identifier!": "string",
}
STATUS: Final = ("active", "inactive", "defunct", "temporarily closed")
SERVICE: Final[Shape] = {
    "id!": "uuid",
    "organization_id": "uuid",
    "name!": "string",
    "description": "string",
    "status!": STATUS,
    "eligibility_description": "string",
    "minimum_age": "number",
    "maximum_age": "number",
    "alert": "string",
    "last_modified": "date-time",
    "organization": ORGANIZATION,
}
SCHEDULE: Final[Shape] = {
    "id!": "uuid",
    "service_id": "uuid",
    "description": "string",
    "freq": ("WEEKLY", "MONTHLY"),
    "byday": "string",
    "opens_at": "string",
    "closes_at": "string",
    "valid_from": "date",
    "valid_to": "date",
}
LOCATION: Final[Shape] = {
    "id!": "uuid",
    "location_type!": ("physical", "postal", "virtual"),
    "name": "string",
    "accessibility": [{"id!": "uuid", "description": "string"}],
}
FULL_SERVICE: Final[Shape] = SERVICE | {
    "phones": [{"id!": "uuid", "number!": "string"}],
    "schedules": [SCHEDULE],
    "required_documents": [{"id!": "uuid", "document": "string"}],
    "service_at_locations": [{"id!": "uuid", "service_id": "uuid", "location": LOCATION}],
    "capacities": [CAPACITY],
}
FULL_ORGANIZATION: Final[Shape] = ORGANIZATION | {
    "organization_identifiers": [IDENTIFIER],
    "services": [{"id!": "uuid", "name!": "string", "status!": STATUS}],
}


def check(value: object, shape: object, where: str = "it") -> None:
    """AssertionError, naming the place, where a value is not as HSDS has it."""
    match shape:
        case dict():
            assert isinstance(value, dict), where
            known = {name.rstrip("!"): name.endswith("!") for name in shape}
            assert value.keys() <= known.keys(), f"{where}: {value.keys() - known.keys()}"
            assert {name for name, is_required in known.items() if is_required} <= value.keys(), where
            for name, inner in value.items():
                check(inner, shape.get(name, shape.get(f"{name}!")), f"{where}.{name}")
        case [inner]:
            assert isinstance(value, list), where
            for each in value:
                check(each, inner, where)
        case tuple():
            assert value in shape, where
        case str():
            assert _IS[shape](value), f"{where} is no {shape}"


def page(value: dict[str, Any], shape: Shape) -> list[dict[str, Any]]:
    """Check a page of HSDS' API, and return its contents."""
    flags = {"first_page": bool, "last_page": bool, "empty": bool}
    counts = {"total_items": int, "total_pages": int, "page_number": int, "size": int}
    assert {name: type(value[name]) for name in flags | counts} == flags | counts
    assert value["size"] == len(value["contents"])
    assert value["empty"] == (not value["contents"])
    check(value["contents"], [shape])
    contents: list[dict[str, Any]] = value["contents"]
    return contents


def _reads(read: Callable[[str], object]) -> Callable[[object], bool]:
    def reads(value: object) -> bool:
        try:
            return isinstance(value, str) and read(value) is not None
        except ValueError:
            return False

    return reads


_IS: Final[dict[str, Callable[[object], bool]]] = {
    "string": lambda value: isinstance(value, str) and value != "",
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "uuid": lambda value: isinstance(value, str) and _reads(UUID)(value) and str(UUID(value)) == value,
    "date": _reads(date.fromisoformat),
    "date-time": lambda value: _reads(datetime.fromisoformat)(value) and "T" in str(value),
}
