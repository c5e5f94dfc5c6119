"""What is said of beds: each type with an example and a topic, and no field by which a client could be told."""

import json
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from msgspec.structs import fields

from policy import canonical
from schemas import beds
from schemas.beds import HoldEvents, UnitAvailability
from services.kit import topics
from tests.contracts import bed_examples
from tests.contracts.event_examples import pretty

EXAMPLES = sorted(bed_examples.FOLDER.iterdir())
EVERY_TYPE = {str(kind.__struct_config__.tag): kind for kind in (UnitAvailability, *get_args(HoldEvents))}


def test_each_type_has_an_example_and_a_topic() -> None:
    assert [path.stem for path in EXAMPLES] == sorted(EVERY_TYPE)
    declared = topics.load()
    assert declared["bed-availability"].schema.types == ("unit.availability",)
    assert sorted((*declared["bed-holds"].schema.types, "unit.availability")) == sorted(EVERY_TYPE)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_each_example_is_as_made_and_has_its_types_shape(path: Path) -> None:
    """To change them: `python -m tests.contracts.bed_examples`."""
    value = bed_examples.made()[path.stem]
    assert path.read_text(encoding="utf-8") == pretty(value)
    event = msgspec.json.decode(value, type=EVERY_TYPE[path.stem])
    assert canonical.encode(event) == value
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(json.dumps(json.loads(value) | {"client_id": "x" * 32}), type=EVERY_TYPE[path.stem])


def test_nothing_said_of_beds_has_room_for_a_client_or_a_referral() -> None:
    names = {field.encode_name for shape in (beds.Unit, beds.Hold) for field in fields(shape)}
    assert not {name for name in names if "client" in name or "referral" in name or "code" in name}
