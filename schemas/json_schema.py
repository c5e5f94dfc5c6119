"""JSON Schema 2020-12 of what is said: a document of its own for each event type, data category and record."""

from collections.abc import Mapping
from inspect import cleandoc
from typing import Any, Final, get_args

import msgspec
from pydantic import BaseModel

from schemas.beds import HoldEvents, UnitAvailability
from schemas.categories import CATEGORY_MODELS
from schemas.disclosures import Delivery, Disclosure
from schemas.notices import ConsentExpiring, ReferralUnanswered
from schemas.records import Event

Schema = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
EVENTS: Final[Mapping[str, type[msgspec.Struct]]] = {
    str(kind.__struct_config__.tag): kind
    for kind in (*get_args(Event), UnitAvailability, *get_args(HoldEvents), ConsentExpiring, ReferralUnanswered)
}
"""Each type of event, on whichever topic."""
RECORDS: Final[Mapping[str, type[msgspec.Struct]]] = {"disclosure": Disclosure, "delivery": Delivery}
"""What stands on topics and is no event."""


def documents() -> dict[str, Schema]:
    """Give every document by its name, such as `events/consent.granted`."""
    said = {f"events/{name}": of_struct(kind) for name, kind in EVENTS.items()}
    said |= {f"records/{name}": of_struct(kind) for name, kind in RECORDS.items()}
    said |= {f"categories/{name}": of_model(model) for name, model in CATEGORY_MODELS.items()}
    return {name: document(name, schema) for name, schema in said.items()}


def document(name: str, schema: Schema) -> Schema:
    """Make a schema a document that can be read by itself."""
    return {"$schema": DIALECT, "$id": f"urn:threshold:{name.replace('/', ':')}", **schema}


def of_struct(kind: type[msgspec.Struct]) -> Schema:
    """Describe a struct, with what it refers to under `$defs`."""
    shapes = components([kind], "#/$defs/{name}")
    own = shapes.pop(kind.__name__)
    return {**own, **({"$defs": shapes} if shapes else {})}


def of_model(model: type[BaseModel]) -> Schema:
    """Describe a model as it is written out, with what it refers to under `$defs`."""
    schema: Schema = as_written(model.model_json_schema(mode="serialization"))
    return schema


def components(kinds: list[type[msgspec.Struct]], reference: str) -> dict[str, Schema]:
    """Describe structs and what they refer to, by name; `reference` is how they do, with `{name}` in it."""
    _, shapes = msgspec.json.schema_components(kinds, ref_template=reference)
    return {name: as_written(shape) for name, shape in shapes.items()}


def as_written(schema: Any) -> Any:  # noqa: ANN401 - any JSON value
    r"""Say it as it is written: what says nothing is left out, never null, and `\Z` is Python's name for JSON's `$`."""
    match schema:
        case dict():
            said = {key: as_written(value) for key, value in schema.items()}
            if isinstance(said.get("pattern"), str):
                said["pattern"] = said["pattern"].replace(r"\Z", "$")
            if isinstance(said.get("description"), str):  # a docstring, as its source indents it
                said["description"] = cleandoc(said["description"])
            return _never_null(said) if "default" in said and said["default"] is None else said
        case list():
            return [as_written(each) for each in schema]
        case _:
            return schema


def _never_null(schema: Schema) -> Schema:
    rest = {key: value for key, value in schema.items() if key != "default"}
    if "anyOf" not in rest:
        return rest
    alternatives = [each for each in rest.pop("anyOf") if each != {"type": "null"}]
    return {**rest, **alternatives[0]} if len(alternatives) == 1 else {**rest, "anyOf": alternatives}
