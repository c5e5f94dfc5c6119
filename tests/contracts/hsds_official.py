"""Validates what we answer as HSDS against Open Referral's own schemas: `python -m tests.contracts.hsds_official DIR`.

DIR is the folder `schema` of branch 3.1-dev of openreferral/specification. The schemas are under CC BY-SA and not ours
to keep here; test_hsds.py checks the same objects against our own statement of them on every run.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from services.shelter_beds.interop import hsds
from tests.contracts.interop_units import EVERY_KIND, NOW

LISTED_SERVICE: Final = "compiled/service_list.json"
FULL_SERVICE: Final = "compiled/service.json"
LISTED_ORGANIZATION: Final = "compiled/organization_list.json"
FULL_ORGANIZATION: Final = "compiled/organization.json"
CAPACITY: Final = "service_capacity.json"


def objects() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every kind of object that we answer with, of every kind of unit, and the schema that it must fit."""
    for unit in EVERY_KIND:
        yield LISTED_SERVICE, hsds.service(unit, NOW)
        yield FULL_SERVICE, hsds.full_service(unit, NOW)
        yield LISTED_ORGANIZATION, hsds.organization([unit])
        yield FULL_ORGANIZATION, hsds.full_organization([unit], NOW)
        if (capacity := hsds.capacity(unit)) is not None:
            yield CAPACITY, capacity


def faults(folder: Path, schema: str, value: dict[str, Any]) -> list[str]:
    """Return where a value is not as a schema has it; a field that the schema does not name is a fault, too."""
    errors = _validator(folder, schema).iter_errors(value)
    return [f"{schema}{error.json_path[1:]}: {error.message}" for error in errors]


def main(folder: Path) -> int:
    """Print each fault, or how many objects are valid; 1 if any is not, or if a planted fault is not found."""
    checked = list(objects())
    found = [fault for schema, value in checked for fault in faults(folder, schema, value)]
    for schema, value in checked:
        planted = (
            {name: each for name, each in value.items() if name != "id"},
            value | {"invented": 1},
            value | {"id": "no"},
        )
        found += [f"{schema}: a planted fault was not found" for each in planted if not faults(folder, schema, each)]
    print("\n".join(found) or f"{len(checked)} objects are valid, and every planted fault was found.")
    return 1 if found else 0


def _validator(folder: Path, schema: str) -> Validator:
    def read(path: str) -> Resource[Any]:
        return DRAFT202012.create_resource(_closed(json.loads((folder / path).read_text())))

    registry: Registry[Any] = Registry(retrieve=read)  # type: ignore[call-arg]
    return Draft202012Validator(
        read(schema).contents, registry=registry, format_checker=Draft202012Validator.FORMAT_CHECKER
    )


def _closed(schema: Any) -> Any:
    """Let a schema name every field that may be there."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(each) for name, each in schema.items()}
    return closed | {"additionalProperties": False} if isinstance(schema.get("properties"), dict) else closed


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
