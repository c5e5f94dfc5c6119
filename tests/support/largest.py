"""The most that may be said of a client: each category with every field, each text as long as it may be."""

import json
from collections.abc import Mapping
from typing import Any

from schemas.categories import CATEGORY_MODELS

WIDEST = "\N{OLD ITALIC LETTER A}"  # four bytes in UTF-8
# What has no length but a form, by its field's name: the longest of that form.
FORMED = {
    "ssn": "x" * 9,
    "phone": "0" * 32,
    "email": "a" * 242 + "@example.org",
    "state": "CA",
    "zip": "94103-1234",
    "language": "abcdefgh-abcdefgh-abcdefgh-abcdefgh",
    "preferred_language": "abcdefgh-abcdefgh-abcdefgh-abcdefgh",
    "vamc_station": "123AA",
    "enrollment_coc": "CA-501",
}
Schema = Mapping[str, Any]


def largest_segments() -> dict[str, dict[str, Any]]:
    """Every category but the need, as large as its schema allows; each is checked by its own model."""
    found: dict[str, dict[str, Any]] = {}
    for category, model in CATEGORY_MODELS.items():
        if category != "need":
            schema = model.model_json_schema()
            found[category] = model.model_validate_json(json.dumps(_largest(schema, schema.get("$defs", {})))).plain()
    return found


def _largest(schema: Schema, definitions: Mapping[str, Schema], name: str = "") -> Any:
    if "$ref" in schema:
        return _largest(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in schema:
        return _largest(next(one for one in schema["anyOf"] if one.get("type") != "null"), definitions, name)
    if "enum" in schema:
        return max(schema["enum"], key=lambda value: len(str(value)))
    if schema["type"] == "object":
        return {each: _largest(field, definitions, each) for each, field in schema["properties"].items()}
    return _text(schema, name) if schema["type"] == "string" else _value(schema)


def _value(schema: Schema) -> Any:
    return False if schema["type"] == "boolean" else schema.get("maximum", 0)


def _text(schema: Schema, name: str) -> str:
    if schema.get("format") == "date":
        return "2026-11-26"
    if name in FORMED:
        return FORMED[name]
    return WIDEST * schema["maxLength"] if "maxLength" in schema else "999999.00"
