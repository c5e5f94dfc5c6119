"""Event types: each with an example that the strict parser takes, none without a writer or a reason why."""

import json
import re
from pathlib import Path

import pytest
from msgspec.structs import fields

from policy import canonical
from policy.parse import TYPES, Refused, parse, type_of
from policy.state import PartitionState
from policy.step import Fold
from schemas.events import Actor, ConsentEnded, Envelope, Party, Recipient, Referral, ReferralData
from schemas.records import RESERVED_TYPES, ReferralEvent
from services.kit import topics
from tests.contracts import event_examples
from tests.support.log import ROOT_FINGERPRINT, Record, disclose

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted(event_examples.FOLDER.iterdir())
LIFECYCLE = {f"referral.{status}" for status in event_examples._LIFECYCLE}

# A type of which this policy version knows nothing, and why nobody writes it yet.
RESERVED = {
    "client.merged": "merging clients who turn out to be one comes later; the stricter side will count",
    "client.erased": "erasing a client is deleting one key; its record comes with restored backups",
    "emergency.access": "emergency access under 42 CFR 2.51 comes with its own accounting",
    "time.corrected": "for a clock that once ran ahead; an operator's tool that comes later",
}
# A type that the policy knows, and why no service writes it yet.
WRITER_TO_COME = {
    "key.retired": "keys are rotated by an operator's command that comes later",
    "policy.activated": "there is one policy version; the second will be activated by this",
}


def test_each_type_has_an_example_and_each_example_a_type() -> None:
    assert [path.name for path in EXAMPLES] == sorted(f"{event_type}.json" for event_type in TYPES)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_strict_parser_takes_each_example_and_no_other_spelling(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    value = json.dumps(json.loads(text), separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()
    event = parse(value)
    assert type_of(event) == path.stem
    assert canonical.encode(event) == value
    with pytest.raises(Refused, match="not-canonical"):
        parse(text.encode())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_each_example_is_as_made(path: Path) -> None:
    """To change them: `python -m tests.contracts.event_examples`."""
    assert path.read_text(encoding="utf-8") == event_examples.pretty(event_examples.made()[path.stem])


def test_the_examples_are_a_log_in_which_each_counts() -> None:
    values = list(event_examples.made().values())
    values.insert(2, event_examples.consents_key())
    fold = Fold(PartitionState(partition=event_examples.PARTITION, root_fingerprint=ROOT_FINGERPRINT))
    keys = [event_examples.key_of(parse(value)).encode() for value in values]
    disclosures = [disclose(fold, Record(key, value, 0)) for key, value in zip(keys, values, strict=True)]
    assert {disclosure.result for disclosure in disclosures} == {"applied", "decided"}
    assert not fold.state.control.in_doubt


def test_the_fields_stand_where_the_boundary_cuts() -> None:
    """policy/answer.py cuts a disclosure out of an event's canonical bytes: a new field may not come between."""
    assert max(field.encode_name for field in fields(ReferralData)) == "sealed"
    assert {field.encode_name for field in fields(ReferralEvent)} == {"data", "id", "source", "specversion", "time"}
    assert ReferralEvent.__struct_config__.tag_field == "type"
    shapes = (Actor, ConsentEnded, Party, Recipient, Referral, Envelope)
    assert not {"sealed", "source"} & {field.encode_name for shape in shapes for field in fields(shape)}


def test_reserved_types_are_unknown_and_explained() -> None:
    assert set(RESERVED) == set(RESERVED_TYPES)
    assert not set(RESERVED) & set(TYPES)
    for reserved in RESERVED:
        with pytest.raises(Refused, match="unknown-type"):
            parse(json.dumps({"type": reserved}).encode())


def test_each_type_has_a_writer_or_a_reason_why_not_yet() -> None:
    source = " ".join(path.read_text(encoding="utf-8") for path in (ROOT / "services").rglob("*.py"))
    named = set(re.findall(r"\w+", source))
    transitions = (ROOT / "services/referrals/model.py").read_text(encoding="utf-8")
    written = {event_type for event_type, kind in TYPES.items() if kind.__name__ in named}
    written |= {event_type for event_type in LIFECYCLE if f'"{event_type.partition(".")[2]}"' in transitions}
    assert set(TYPES) - written == set(WRITER_TO_COME)


def test_the_topic_declares_exactly_the_types_that_there_are() -> None:
    assert sorted(topics.load()["client-events"].schema.types) == sorted(TYPES)


def test_every_reason_is_a_sentence() -> None:
    assert [name for name, why in (RESERVED | WRITER_TO_COME).items() if len(why.split()) < 6] == []
