"""Every generated document as a file of `schemas/generated`, always the same bytes, and how the files differ."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import schemas
from schemas import json_schema
from services.cli.documents import asyncapi, openapi
from services.webhooks.arriving import MESSAGES

FOLDER: Final = Path(schemas.__file__).parent / "generated"
JSON_SCHEMAS: Final = "json-schema"
WEBHOOKS: Final = "webhooks"
"""The folder of the JSON Schemas whose readers are receivers, not our own services."""


def json_schemas() -> dict[str, Any]:
    """Give the JSON Schema of everything that is said, by name."""
    arriving = {f"{WEBHOOKS}/{name}": json_schema.of_model(model) for name, model in MESSAGES.items()}
    return json_schema.documents() | {name: json_schema.document(name, schema) for name, schema in arriving.items()}


def files() -> dict[str, str]:
    """Give the text of every file, by its path in the folder."""
    documents = {f"{JSON_SCHEMAS}/{name}": schema for name, schema in json_schemas().items()}
    documents["asyncapi"] = asyncapi.document()
    documents |= {f"openapi/{name}": document for name, document in openapi.documents().items()}
    return {f"{name}.json": text(document) for name, document in sorted(documents.items())}


def text(document: Mapping[str, Any]) -> str:
    """Write a document, for people too."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def differing(made: Mapping[str, str], folder: Path = FOLDER) -> list[str]:
    """List the files that are missing, differ, or should not be there."""
    there = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.json")}
    changed = [name for name, said in made.items() if name not in there or there[name].read_text("utf-8") != said]
    return sorted([*changed, *(there.keys() - made.keys())])


def write(made: Mapping[str, str], folder: Path = FOLDER) -> list[str]:
    """Bring the folder in line; list what was changed."""
    changed = differing(made, folder)
    for name in changed:
        path = folder / name
        if name in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(made[name], encoding="utf-8")
        else:
            path.unlink()
    return changed
