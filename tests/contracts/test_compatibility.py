"""What was said stays readable: a table of changes, planted incompatible ones, and every release as it is kept now."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from schemas.compatibility import unreadable
from services.cli.documents import released

PRESENT = released.present()
VERSIONS = released.versions()
DIGESTS = {1: "9a4bf0037a4bab03a99ae5d92b64c11af6916a65508502b0c2e69c1cca1a3400"}
"""What each release froze: whoever releases a version adds its line."""
Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}


def thing(required: tuple[str, ...] = ("a",), /, **properties: Schema) -> Schema:
    """A closed object that has `a`, a text, and these properties."""
    shape = {"a": TEXT, **properties}
    return {"type": "object", "properties": shape, "required": [*required], "additionalProperties": False}


def number(**limits: int) -> Schema:
    return {"type": "integer", **limits}


def one_of(*values: str) -> Schema:
    return {"enum": [*values]}


# (what changed, what was written, what reads it now, where it is refused; None where it is not)
CASES: list[tuple[str, Schema, Schema, str | None]] = [
    ("nothing", thing(b=TEXT), thing(b=TEXT), None),
    ("an optional field is new", thing(), thing(b=TEXT), None),
    ("a required field is new", thing(), thing(("a", "b"), b=TEXT), ".b: is required"),
    ("a field is gone", thing(b=TEXT), thing(), ".b: is not known"),
    ("a field has another name", thing(b=TEXT), thing(c=TEXT), ".b: is not known"),
    ("what was optional is required", thing(b=TEXT), thing(("a", "b"), b=TEXT), ".b: is required"),
    ("what was required is optional", thing(("a", "b"), b=TEXT), thing(b=TEXT), None),
    ("the object is open now", thing(), {**thing(), "additionalProperties": True}, None),
    ("the object is closed now", {**thing(), "additionalProperties": True}, thing(), ".*: is not known"),
    ("a field has another type", thing(b=TEXT), thing(b=number()), ".b: is of type integer instead of string"),
    ("an integer may be any number", number(), {"type": "number"}, None),
    ("a number must be an integer", {"type": "number"}, number(), "type integer instead of number"),
    ("a list has one value more", one_of("x"), one_of("x", "y"), None),
    ("a list has one value less", one_of("x", "y"), one_of("x"), "does not take y"),
    ("any text became a list", TEXT, one_of("x"), "does not take other values"),
    ("a list became any text", one_of("x", "y"), TEXT, None),
    ("a list became a text that is too short for it", one_of("x", "long"), {**TEXT, "maxLength": 3}, "maxLength"),
    ("a constant has another value", {"const": "x"}, {"const": "y"}, "does not take x"),
    ("a maximum is lower", number(maximum=9), number(maximum=8), "maximum is 8 instead of 9"),
    ("a maximum is higher", number(maximum=9), number(maximum=10), None),
    ("a maximum is new", number(), number(maximum=8), "maximum is 8 instead of none"),
    ("a maximum is gone", number(maximum=9), number(), None),
    ("a minimum is higher", number(minimum=0), number(minimum=1), "minimum is 1 instead of 0"),
    ("a minimum is lower", number(minimum=1), number(minimum=0), None),
    ("a text must be shorter", {**TEXT, "maxLength": 64}, {**TEXT, "maxLength": 63}, "maxLength"),
    ("a pattern is another", {**TEXT, "pattern": "^a$"}, {**TEXT, "pattern": "^b$"}, "pattern"),
    ("a pattern is gone", {**TEXT, "pattern": "^a$"}, TEXT, None),
    ("a format is new", TEXT, {**TEXT, "format": "date"}, "format"),
    ("items are narrower", {"items": one_of("x", "y")}, {"items": one_of("x")}, "[]: does not take y"),
    ("fewer items", {"items": TEXT, "maxItems": 9}, {"items": TEXT, "maxItems": 8}, "maxItems"),
    ("one alternative more", {"anyOf": [TEXT]}, {"anyOf": [TEXT, number()]}, None),
    ("one alternative less", {"anyOf": [TEXT, number()]}, {"anyOf": [TEXT]}, "type string instead of integer"),
    ("names of fields are fewer", {"propertyNames": one_of("x", "y")}, {"propertyNames": one_of("x")}, "take y"),
    ("what is left out means something else", thing(b={"default": 1}), thing(b={"default": 2}), ".b: what is left"),
    ("a keyword that nobody compares", TEXT, {**TEXT, "not": one_of("x")}, "does not know not"),
    ("only the words", {**TEXT, "description": "old"}, {**TEXT, "description": "new", "title": "T"}, None),
]


@pytest.mark.parametrize(("written", "reader", "where"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_can_still_be_read(written: Schema, reader: Schema, where: str | None) -> None:
    found = unreadable(written, reader)
    assert (found == []) if where is None else (len(found) == 1 and where in found[0])


def test_a_shape_that_is_referred_to_is_compared_too() -> None:
    def referring(inner: Schema) -> Schema:
        return {**thing(b={"$ref": "#/$defs/Inner"}), "$defs": {"Inner": inner}}

    assert unreadable(referring(thing(c=TEXT)), thing(b=thing(c=TEXT, d=TEXT))) == []
    assert unreadable(referring(thing(c=TEXT)), referring(thing())) == [".b.c: is not known any more"]


def test_a_receiver_leaves_alone_what_it_does_not_know_and_misses_what_it_needs() -> None:
    assert unreadable(thing(b=TEXT), thing(), leaves_unknown=True) == []
    assert unreadable(thing(), thing(("a", "b"), b=TEXT), leaves_unknown=True) != []


def _of(schema: Schema, *path: str) -> Schema:
    for step in path:
        schema = schema[step]
    return schema


def _removed(schema: Schema) -> None:
    del _of(schema, "$defs", "Consent", "properties")["language"]


def _narrowed(schema: Schema) -> None:
    _of(schema, "$defs", "Consent", "properties", "method")["enum"].remove("verbal")


def _required(schema: Schema) -> None:
    _of(schema, "$defs", "Consent")["required"].append("language")


def _shrunk(schema: Schema) -> None:
    _of(schema, "$defs", "Consent", "properties", "to")["maxItems"] = 19


PLANTED: list[tuple[Callable[[Schema], None], str]] = [
    (_removed, "events/consent.granted.data.consent.language: is not known any more"),
    (_narrowed, "events/consent.granted.data.consent.method: does not take verbal any more"),
    (_required, "events/consent.granted.data.consent.language: is required, and was not always written"),
    (_shrunk, "events/consent.granted.data.consent.to: maxItems is 19 instead of 20"),
]


@pytest.mark.parametrize(("plant", "found"), PLANTED, ids=[plant.__name__ for plant, _ in PLANTED])
def test_a_planted_incompatible_change_is_found(plant: Callable[[Schema], None], found: str) -> None:
    for version in VERSIONS:
        present = copy.deepcopy(PRESENT)
        plant(present["events/consent.granted"])
        assert released.broken(released.documents(version), present) == [found]


def test_a_planted_change_of_what_receivers_are_sent_is_found() -> None:
    present = copy.deepcopy(PRESENT)
    message = present["webhooks/referral.accepted"]
    message["$defs"]["Identified"]["properties"]["new"] = TEXT
    assert released.broken(released.documents(1), present) == []
    message["$defs"]["Identified"]["required"].remove("event_id")
    del present["webhooks/hold.placed"]
    assert [each.partition(":")[0] for each in released.broken(released.documents(1), present)] == [
        "webhooks/hold.placed",
        "webhooks/referral.accepted.data.event_id",
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_release_said_is_kept(version: int) -> None:
    """Each release against the present, not only the last: the log is kept for ever, and so are old receivers."""
    assert released.broken(released.documents(version), PRESENT) == []


def test_what_is_released_stays_as_it_was() -> None:
    assert {version: released.digest(version) for version in VERSIONS} == DIGESTS


def test_a_version_is_frozen_once_and_in_its_turn(tmp_path: Path) -> None:
    frozen = released.freeze(1, tmp_path)
    assert released.documents(1, tmp_path) == PRESENT
    with pytest.raises(released.NotReleasedError, match="the next version is 2"):
        released.freeze(1, tmp_path)
    with pytest.raises(released.NotReleasedError, match="the next version is 2"):
        released.freeze(3, tmp_path)
    some = next((tmp_path / "1").rglob("*.json"))
    some.write_text(some.read_text().replace('"title"', '"titel"'))
    assert released.digest(1, tmp_path) != frozen
