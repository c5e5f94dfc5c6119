"""The published documents: as generated, well-formed, and of one mind with the parsers about what may be said."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import schemas
from deploy.local.services import SERVICES
from policy.parse import Refused, parse, type_of
from schemas.beds import HoldEvents, UnitAvailability
from schemas.disclosures import Delivery
from schemas.events import Party
from schemas.json_schema import EVENTS
from schemas.records import Event
from services.cli.documents import published
from services.webhooks.arriving import MESSAGES
from tests.contracts import bed_examples, event_examples
from tests.policy import golden_log
from tests.support.published import document, judge

EXAMPLES = {f"events/{name}": json.loads(value) for name, value in event_examples.made().items()}
EXAMPLES |= {f"events/{name}": json.loads(value) for name, value in bed_examples.made().items()}
EXAMPLES |= {
    f"categories/{path.stem}": json.loads(path.read_text(encoding="utf-8"))
    for path in (Path(schemas.__file__).parent / "examples" / "categories").iterdir()
}
NAMES = sorted(
    path.relative_to(published.FOLDER / published.JSON_SCHEMAS).with_suffix("").as_posix()
    for path in (published.FOLDER / published.JSON_SCHEMAS).rglob("*.json")
)


def test_the_files_are_as_generated() -> None:
    """To change them: `threshold schemas write`."""
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", "schemas", "check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"run `threshold schemas write`; these differ:\n{done.stdout}{done.stderr}"


def test_a_file_that_differs_is_missing_or_is_nobodys_is_found_and_put_right(tmp_path: Path) -> None:
    made = {"openapi/a.json": "{}\n", "json-schema/events/b.json": "{}\n"}
    assert published.write(made, tmp_path) == sorted(made)
    assert published.differing(made, tmp_path) == []
    (tmp_path / "openapi" / "a.json").write_text("{ }\n")
    (tmp_path / "openapi" / "left.json").write_text("{}\n")
    (tmp_path / "json-schema" / "events" / "b.json").unlink()
    assert published.write(made, tmp_path) == [*sorted(made), "openapi/left.json"]
    assert published.differing(made, tmp_path) == []


def test_everything_that_is_said_has_a_document() -> None:
    expected = {*EXAMPLES, "records/disclosure", "records/delivery", *(f"webhooks/{name}" for name in MESSAGES)}
    assert set(NAMES) == expected
    services = {path.stem for path in (published.FOLDER / "openapi").iterdir()}
    assert services == {service.name for service in SERVICES}


@pytest.mark.parametrize("name", NAMES)
def test_each_is_a_json_schema_with_a_description(name: str) -> None:
    schema = document(name)
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["description"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_example_is_as_published_and_no_longer_when_something_is_wrong_with_it(name: str) -> None:
    example = EXAMPLES[name]
    judge(name).validate(example)
    wrong = [{**example, "surprise": 1}, *(_without(example, field) for field in document(name).get("required", ()))]
    if "data" in example:
        wrong += [{**example, "data": {**example["data"], "surprise": 1}}, {**example, "type": "no.such"}]
    assert [each for each in wrong if judge(name).is_valid(each)] == []


def test_each_record_of_the_golden_log_is_as_published_and_so_is_what_was_decided() -> None:
    records, outputs = golden_log.read(1)
    counted = 0
    for record in records:
        try:
            event = parse(record.value)
        except Refused:
            continue
        judge(f"events/{type_of(event)}").validate(json.loads(record.value or b""))
        counted += 1
    assert counted > 100
    for output in outputs:
        judge("records/disclosure").validate(json.loads(output))


def test_a_delivery_is_as_published() -> None:
    delivery = Delivery(
        id="d",
        decision_id="3/17/shelter",
        client_id="c",
        recipient=Party(organization="shelter"),
        channel="webhook",
        attempt=1,
        state="started",
        verdict="permit",
        time="2026-11-26T08:00:00.000000Z",
        categories=("identity",),
    )
    said = json.loads(msgspec.json.encode(delivery))
    judge("records/delivery").validate(said)
    for wrong in ({"state": "lost"}, {"time": "yesterday, at eight o'clock"}, {"attempt": -1}, {"endpoint_id": None}):
        assert not judge("records/delivery").is_valid(said | wrong)


JSON: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=80) | st.just([]) | st.just({}) | st.just("1" * 64)
)


@settings(max_examples=600, derandomize=True, deadline=None)
@given(data=st.data())
def test_the_parser_and_the_published_schema_agree_about_what_is_said_wrongly(data: st.DataObject) -> None:
    """Each example with one value somewhere in it replaced or left out, or with one more."""
    name = data.draw(st.sampled_from(sorted(name for name in EXAMPLES if name.startswith("events/"))))
    changed = json.loads(json.dumps(EXAMPLES[name]))
    place = data.draw(st.sampled_from(list(_containers(changed))))
    key = data.draw(st.sampled_from([*(place if isinstance(place, dict) else range(len(place))), "surprise"]))
    if isinstance(place, dict) and data.draw(st.booleans()):
        place.pop(key, None)
    elif isinstance(place, list) and key == "surprise":
        place.append(data.draw(JSON))
    else:
        place[key] = data.draw(JSON)
    assert _parses(name, changed) == _fits(name, changed)


def _parses(name: str, value: dict[str, Any]) -> bool:
    try:
        event = msgspec.json.decode(json.dumps(value), type=Event | UnitAvailability | HoldEvents)
    except msgspec.ValidationError:
        return False
    return type(event) is EVENTS[name.removeprefix("events/")] and not _has_null(
        value
    )  # the strict parser takes none: what says nothing is left out


def _fits(name: str, value: dict[str, Any]) -> bool:
    """Whether it fits, but for the formats: the parser does not look at those of times that decide nothing."""
    return Draft202012Validator(document(name)).is_valid(value)


def _has_null(value: Any) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value is None or any(_has_null(each) for each in inner)


def _containers(value: Any) -> list[Any]:
    if not isinstance(value, dict | list):
        return []
    return [value, *(found for each in _inner(value) for found in _containers(each))]


def _inner(value: dict[str, Any] | list[Any]) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value


def _without(value: dict[str, Any], field: str) -> dict[str, Any]:
    return {key: each for key, each in value.items() if key != field}
