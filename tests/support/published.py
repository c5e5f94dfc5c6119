"""The published JSON Schemas as judges of what is really said."""

import json
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from services.cli.documents.published import FOLDER, JSON_SCHEMAS


def document(name: str) -> dict[str, Any]:
    """One published document, such as `events/consent.granted`."""
    found: dict[str, Any] = json.loads((FOLDER / JSON_SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))
    return found


@cache
def judge(name: str) -> Draft202012Validator:
    """What decides by a published document, with its formats."""
    return Draft202012Validator(document(name), format_checker=Draft202012Validator.FORMAT_CHECKER)


def check_message(message: dict[str, Any]) -> None:
    """Fail unless a webhook's body is as published, says nothing beyond it, and shares what its categories allow."""
    _closed_judge(f"webhooks/{message['type']}").validate(message)
    for category, shared in message["data"].get("shared", {}).items():
        judge(f"categories/{category}").validate(shared)


@cache
def _closed_judge(name: str) -> Draft202012Validator:
    schema = _closed(document(name))
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


def _closed(schema: Any) -> Any:
    """The same, refusing fields that it does not name: receivers are to leave them alone, but we send none."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    return {"additionalProperties": False, **closed} if isinstance(closed.get("properties"), dict) else closed
