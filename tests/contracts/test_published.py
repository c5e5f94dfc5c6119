"""The published documents: as generated, well-formed, and of one mind with the parsers about what may be said."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from jsonschema import Draft202012Validator

import schemas
from deploy.local.services import SERVICES
from policy.parse import Refused, parse, type_of
from schemas.beds import HoldEvents, UnitAvailability
from schemas.disclosures import Delivery
from schemas.events import Party
from schemas.json_schema import EVENTS
from schemas.notices import ConsentExpiring, ReferralUnanswered
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
EXAMPLES |= {
    f"events/{path.stem}": json.loads(path.read_text(encoding="utf-8"))
    for path in (Path(schemas.__file__).parent / "examples" / "notices").iterdir()
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


# Each of the wrong kinds of value, and some that are right in one place and wrong in another.
VALUES: tuple[Any, ...] = (None, True, -1, 2**53, "", "x", "x" * 25, "x" * 5000, "1" * 64, [], ["x"], {}, {"need": "x"})


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name.startswith("events/")])
def test_the_parser_and_the_published_schema_agree_about_whatever_is_changed(name: str) -> None:
    """Each example with each value in it left out or replaced, and with one more in each place."""
    fits = jsonschema_rs.Draft202012Validator(_as_parsed(document(name)), validate_formats=True).is_valid
    changed = list(_changed(EXAMPLES[name]))
    assert [each for each in changed if fits(each) != _parses(name, each)] == []
    assert 0 < sum(fits(each) for each in changed) < len(changed), "then there was nothing to agree about"


def _as_parsed(schema: Any) -> Any:
    """Leave out the format of times that decide nothing: of these the parser looks at the length only."""
    if isinstance(schema, list):
        return [_as_parsed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: _as_parsed(each) for key, each in schema.items() if key != "format" or "maxLength" not in schema}


def _changed(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, inner in [*value.items(), ("surprise", "x")]:
            rest = _without(value, key)
            yield rest
            yield from ({**rest, key: each} for each in (*VALUES, *_changed(inner)))
    elif isinstance(value, list):
        yield from ([*value, each] for each in VALUES)
        for number, inner in enumerate(value):
            yield value[:number] + value[number + 1 :]
            yield from ([*value[:number], each, *value[number + 1 :]] for each in _changed(inner))


EVENT = Event | UnitAvailability | HoldEvents | ConsentExpiring | ReferralUnanswered


def _parses(name: str, value: dict[str, Any]) -> bool:
    try:
        event = msgspec.json.decode(json.dumps(value), type=EVENT)
    except msgspec.ValidationError:
        return False
    # The strict parser takes no null: what says nothing is left out.
    return type(event) is EVENTS[name.removeprefix("events/")] and not _has_null(value)


def _has_null(value: Any) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value is None or any(_has_null(each) for each in inner)


def _without(value: dict[str, Any], field: str) -> dict[str, Any]:
    return {key: each for key, each in value.items() if key != field}
