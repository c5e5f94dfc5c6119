"""Whether one JSON Schema takes all that another allows: what was written under the one can be read under the other.

It knows the keywords that our generator uses; any other is reported, so that nothing is passed over in silence.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

Schema = dict[str, Any]

ANNOTATIONS: Final = frozenset(("$schema", "$id", "$defs", "title", "description"))
LOWER: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
UPPER: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
FIXED: Final = ("pattern", "format")
STRUCTURE: Final = frozenset(("type", "enum", "const", "anyOf", "properties", "required", "items"))
OBJECT: Final = frozenset(("additionalProperties", "propertyNames", "default"))
KNOWN: Final = ANNOTATIONS | STRUCTURE | OBJECT | {*LOWER, *UPPER, *FIXED}
ANYTHING: Final[Schema] = {}
TYPES: Final = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}


def unreadable(written: Schema, reader: Schema, *, leaves_unknown: bool = False) -> list[str]:
    """List what `written` allows and `reader` does not take, as `place: why`; empty when it takes everything.

    `leaves_unknown`: the reader leaves alone the fields that it does not know, as receivers of webhooks are told to.
    """
    return list(_Comparison(written, reader, leaves_unknown).of(written, reader, ""))


@dataclass(frozen=True)
class _Comparison:
    """Two whole documents, whose parts refer to each their own `$defs`."""

    written: Schema
    reader: Schema
    leaves_unknown: bool

    def of(self, written: Schema, reader: Schema, at: str) -> Iterator[str]:
        """Compare two parts of the documents."""
        written, reader = _resolved(self.written, written), _resolved(self.reader, reader)
        unknown = sorted((written.keys() | reader.keys()) - KNOWN)
        if unknown:
            yield f"{at}: the comparison does not know {', '.join(unknown)}"
        elif reader.keys() <= ANNOTATIONS:
            return
        elif "anyOf" in written:
            for each in written["anyOf"]:
                yield from self.of(each, reader, at)
        elif "anyOf" in reader:
            yield from min((list(self.of(written, each, at)) for each in reader["anyOf"]), key=len)
        else:
            yield from _values(written, reader, at)
            yield from self._parts(written, reader, at)

    def _parts(self, written: Schema, reader: Schema, at: str) -> Iterator[str]:
        if "items" in reader:
            yield from self.of(written.get("items", ANYTHING), reader["items"], f"{at}[]")
        if "properties" in reader or "additionalProperties" in reader:
            yield from self._fields(written, reader, at)
        if "propertyNames" in reader and not self.leaves_unknown:
            yield from self.of(written.get("propertyNames", ANYTHING), reader["propertyNames"], f"{at}.*")

    def _fields(self, written: Schema, reader: Schema, at: str) -> Iterator[str]:
        always, known = set(written.get("required", ())), reader.get("properties", {})
        for name in reader.get("required", ()):
            if name not in always:
                yield f"{at}.{name}: is required, and was not always written"
        for name, schema in written.get("properties", {}).items():
            if name in known:
                yield from _same_default(schema, known[name], f"{at}.{name}")
                yield from self.of(schema, known[name], f"{at}.{name}")
            else:
                yield from self._others(schema, reader, f"{at}.{name}")
        if written.get("additionalProperties", True) is not False:
            others = written.get("additionalProperties", True)
            yield from self._others(ANYTHING if others is True else others, reader, f"{at}.*")

    def _others(self, written: Schema, reader: Schema, at: str) -> Iterator[str]:
        """Compare fields that the reader does not name."""
        others = reader.get("additionalProperties", True)
        if others is False and not self.leaves_unknown:
            yield f"{at}: is not known any more"
        elif isinstance(others, dict):
            yield from self.of(written, others, at)


def _values(written: Schema, reader: Schema, at: str) -> Iterator[str]:
    """Compare what two parts say of a value by itself."""
    wrote, takes = _listed(written), _listed(reader)
    if takes is not None:
        lost = "other values" if wrote is None else ", ".join(str(each) for each in wrote if each not in takes)
        if lost:
            yield f"{at}: does not take {lost} any more"
        return
    yield from _same_type(written, reader, at)
    for key in (*LOWER, *UPPER):
        if key in reader and not _is_within(written, key, reader[key]):
            yield f"{at}: {key} is {reader[key]} instead of {written.get(key, 'none')}"
    for key in FIXED:
        if key in reader and reader[key] != written.get(key):
            yield f"{at}: {key} is {reader[key]} instead of {written.get(key, 'none')}"


def _is_within(written: Schema, key: str, limit: float) -> bool:
    wrote = _listed(written)
    sizes = [written[key]] if key in written else [len(each) if isinstance(each, str) else each for each in wrote or ()]
    if not sizes or (wrote is not None and limit in sizes and key.startswith("exclusive")):
        return False
    return bool(min(sizes) >= limit if key in LOWER else max(sizes) <= limit)


def _same_type(written: Schema, reader: Schema, at: str) -> Iterator[str]:
    wrote = {TYPES[type(each)] for each in _listed(written) or ()} or {written.get("type", "anything")}
    takes = reader.get("type")
    if takes is not None and not wrote <= {takes, *(("integer",) if takes == "number" else ())}:
        yield f"{at}: is of type {takes} instead of {', '.join(sorted(wrote))}"


def _same_default(written: Schema, reader: Schema, at: str) -> Iterator[str]:
    """What is left out means its default: another one would give old records another meaning."""
    if "default" in written and written["default"] != reader.get("default"):
        yield f"{at}: what is left out meant {written['default']} and now means {reader.get('default', 'nothing')}"


def _listed(schema: Schema) -> list[Any] | None:
    listed: list[Any] | None = [schema["const"]] if "const" in schema else schema.get("enum")
    return listed


def _resolved(document: Schema, schema: Schema) -> Schema:
    if "$ref" not in schema:
        return schema
    found: Schema = document["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    return found
