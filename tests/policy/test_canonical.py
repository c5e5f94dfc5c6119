"""One value, one sequence of bytes; one key, one partition."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2 as kafkas_murmur2

from policy import canonical
from policy.murmur2 import murmur2, partition_of
from policy.parse import Refused, parse
from tests.contracts.event_examples import made
from tests.policy.logs import DETERMINISTIC

EVENT = made()["referral.requested"]
TEXT = EVENT.decode()
ANY = msgspec.json.Decoder()


def test_canonical_bytes_are_sorted_compact_and_utf8() -> None:
    assert canonical.encode({"b": [1, True, "é"], "a": {}}) == '{"a":{},"b":[1,true,"é"]}'.encode()


@pytest.mark.parametrize("value", ["a\0b", {"\0": 1}, ["\\u0000"], "\ud800", {"\udfff": 1}])
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(canonical.NotCanonical):
        canonical.encode(value)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"b":1,"a":2}',
        b'{"a":1,"a":1}',
        b'{"a": 1}',
        b' {"a":1}',
        b'{"a":1}\n',
        b'{"a":"\\u0062"}',
        b'{"a":"\\/"}',
        b'{"a":1.0e1}',
        b'{"a":"\xff"}',
        b'{"a":"\\ud800"}',
        b'{"a":"\\u0000"}',
        b"[" * 5000 + b"]" * 5000,
    ],
    ids=str,
)
def test_every_other_spelling_is_refused(raw: bytes) -> None:
    with pytest.raises((canonical.NotCanonical, msgspec.MsgspecError)):
        canonical.decode(raw, ANY)


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ('"version":1', '"version":1.0', "malformed"),
        ('"version":1', '"version":9007199254740992', "malformed"),
        ('"version":1', '"version":-1', "malformed"),
        ('"version":1', '"version":null', "malformed"),
        ('"version":1', '"version":1,"version":1', "not-canonical"),
        ('"version":1', '"verzion":1', "malformed"),
        ('"specversion":"1.0"', '"specversion":"1.1"', "malformed"),
        ('"project":"harbor-beds"', '"project":null', "not-canonical"),
        ('"call_back":"intake"', '"call_back":null', "not-canonical"),
        ('"purpose":"shelter-placement"', '"purpose":"marketing"', "malformed"),
        ('"boxes":{', '"boxes":{"gossip":"A",', "malformed"),
        ('"client_id":"', '"client_id":"\\u0041', "not-canonical"),
        ('"type":"referral.requested"', '"type":"referral.forgotten"', "unknown-type"),
        ('"type":"referral.requested"', '"type":7', "malformed"),
    ],
)
def test_the_parser_refuses(old: str, new: str, code: str) -> None:
    assert old in TEXT
    with pytest.raises(Refused, match=f"^{code}$"):
        parse(TEXT.replace(old, new, 1).encode())


def test_the_parser_takes_what_is_canonical_and_gives_it_back() -> None:
    assert canonical.encode(parse(EVENT)) == EVENT
    assert json.loads(EVENT)["type"] == "referral.requested"


@pytest.mark.parametrize("event_type", made())
def test_an_absent_or_empty_value_is_no_event(event_type: str) -> None:
    for value in (None, b"", made()[event_type][:-1], made()[event_type] + b"{}"):
        with pytest.raises(Refused):
            parse(value)


@DETERMINISTIC
@given(key=st.binary(max_size=80))
def test_the_partitioner_is_kafkas(key: bytes) -> None:
    assert murmur2(key) == kafkas_murmur2(key) & 0xFFFFFFFF
    assert partition_of(key, 12) == (kafkas_murmur2(key) & 0x7FFFFFFF) % 12
