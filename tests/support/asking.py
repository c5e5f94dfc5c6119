"""Puts a text into every place of a request that an API's own description says holds text, one at a time."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

Schema = Mapping[str, Any]
_TYPES: Final[dict[str, type]] = {"string": str, "array": list, "object": dict, "integer": int}
MEDIA: Final = {"application/json": "json", "application/x-www-form-urlencoded": "data"}
METHODS: Final = ("get", "post", "put", "patch", "delete")


class Place(NamedTuple):
    """Where in an operation a text goes."""

    service: str
    method: str
    route: str
    where: str  # "path", "query", "header", "body" or "form", and the name there

    @property
    def operation(self) -> str:
        return f"{self.service} {self.method.upper()} {self.route}"

    @property
    def field(self) -> str:
        return self.where.rpartition(" ")[2].rpartition(".")[2]

    def __str__(self) -> str:
        return f"{self.operation} {self.where}"


class Asking(NamedTuple):
    """One request, with `content` as httpx takes it: `text` stands in it once."""

    place: Place
    text: str
    path: str
    content: dict[str, Any]


class Described:
    """A service's OpenAPI document; `known` are values that make a request mean something, by the field's name.

    Of several for one name, the first of the type that is asked for; what is called gives another each time.
    """

    def __init__(self, service: str, document: Mapping[str, Any], known: Mapping[str, Sequence[Any]]) -> None:
        self._service = service
        self._document = document
        self._known = known

    def requests(self, texts: Iterator[str]) -> Iterator[Asking]:
        """Every place of every operation, each with a text of its own."""
        for route, operations in self._document["paths"].items():
            for method in METHODS:
                if method in operations:
                    yield from self._of(route, method, operations[method], texts)

    def _of(self, route: str, method: str, operation: Schema, texts: Iterator[str]) -> Iterator[Asking]:
        parameters = operation.get("parameters", [])
        content = operation.get("requestBody", {}).get("content", {})
        names = [one["name"] for one in parameters if one["in"] == "path"]
        path = _filled(route, {each: self._example({}, each) for each in names})
        whole = {kind: self._example(content[media]["schema"], "") for media, kind in MEDIA.items() if media in content}
        for parameter in parameters:
            name, source, text = parameter["name"], parameter["in"], next(texts)
            place = Place(self._service, method, route, f"{source} {name}")
            if source == "path":
                spoiled = route.replace(f"{{{name}}}", text.replace("{", ""))
                yield Asking(place, text, _filled(spoiled, {each: self._example({}, each) for each in names}), whole)
            else:
                sent = {"params": {name: text}} if source == "query" else {"headers": {name: text.encode()}}
                yield Asking(place, text, path, whole | sent)
        for media, kind in MEDIA.items():
            if media in content:
                for where, text, body in self._spoiled(content[media]["schema"], "", texts):
                    yield Asking(Place(self._service, method, route, f"body {where}"), text, path, {kind: body})

    def _spoiled(self, schema: Schema, name: str, texts: Iterator[str]) -> Iterator[tuple[str, str, Any]]:
        """Every body like an example but for one text, with the text and its place."""
        schema = self._resolved(schema)
        for alternative in schema.get("anyOf", schema.get("oneOf", ())):
            yield from self._spoiled(alternative, name, texts)
        match schema.get("type"):
            case "string":
                text = next(texts)
                yield name, text, text
            case "array":
                for where, text, item in self._spoiled(schema["items"], name, texts):
                    yield f"{where}[]", text, [item]
            case "object":
                yield from self._spoiled_object(schema, name, texts)

    def _spoiled_object(self, schema: Schema, name: str, texts: Iterator[str]) -> Iterator[tuple[str, str, Any]]:
        whole = self._example(schema, name)
        for field, inner in schema.get("properties", {}).items():
            for where, text, value in self._spoiled(inner, field, texts):
                yield f"{name}.{where}".lstrip("."), text, {**whole, field: value}
        text = next(texts)
        yield f"{name}.*".lstrip("."), text, {**whole, text: "a field that there is not"}

    def _example(self, schema: Schema, name: str) -> Any:
        schema = self._resolved(schema)
        for alternative in schema.get("anyOf", schema.get("oneOf", ())):
            return self._example(alternative, name)
        for one in self._known.get(name, ()):
            value = one() if callable(one) else one
            if isinstance(value, _TYPES.get(schema.get("type", "string"), str)):
                return value
        if "const" in schema or "enum" in schema:
            return schema.get("const", next(iter(schema.get("enum", ())), None))
        return self._made(schema, name)

    def _made(self, schema: Schema, name: str) -> Any:
        match schema.get("type"):
            case "object":
                needed = {*schema.get("required", ()), *(self._known.keys() & schema.get("properties", {}).keys())}
                return {field: self._example(schema["properties"][field], field) for field in sorted(needed)}
            case "array":
                return [self._example(schema["items"], name)]
            case "integer" | "number":
                return schema.get("minimum", 1)
        return False if schema.get("type") == "boolean" else "x" * int(schema.get("minLength", 1))

    def _resolved(self, schema: Schema) -> Schema:
        while "$ref" in schema:
            found: Any = self._document
            for step in schema["$ref"].removeprefix("#/").split("/"):
                found = found[step]
            schema = found
        return schema


def _filled(route: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        route = route.replace(f"{{{name}}}", value)
    return route
