"""Writes a case's steps as the records that would stand on the log."""

import json
from dataclasses import dataclass
from functools import cache

from policy import canonical
from schemas import records
from services.kit.signing import Signer
from tests.policy import said
from tests.policy.case_files import Case, Step, world
from tests.policy.events import MAKERS, Place
from tests.support.log import (
    CONSENT,
    GOVERNANCE,
    LOG_ID,
    START,
    Log,
    Record,
    clients_in,
    key_from,
    signer,
)

MARIA, BEN = clients_in(0, 2)
CLIENTS = {"maria": MARIA, "ben": BEN, "elsewhere": clients_in(1, 1)[0]}
_EARLIER = START - 3_600_000


@dataclass(frozen=True, eq=False)
class Written:
    """A case as records, and what each but the last is expected to come to (None: it is applied or decided)."""

    case: Case
    records: tuple[Record, ...]
    results: tuple[str | None, ...]


@cache
def beginning(kind: str) -> tuple[Record, ...]:
    """The records before a case's own: of the whole community, of a begun log with nothing in it, or none."""
    log = Log(now=_EARLIER)
    if kind != "void":
        log.begin()
    if kind == "community":
        everything = [("organization", id_) for id_ in world()["organizations"]]
        everything += [("agreement", id_) for id_ in world()["agreements"]]
        for verb, id_ in everything:
            event = MAKERS[verb](Place("", log.next_order(), f"{verb}-{id_}"), {"id": id_})
            assert isinstance(event, records.SignedRecord)
            log.sign(event)
    return tuple(log.records)


@cache
def written(case: Case) -> Written:
    """The case's records."""
    log = Log(now=START)
    named: dict[str, Record] = {}
    for number, step in enumerate(case.steps, start=1):
        if "at" in step.modifiers:
            log.now = int(said.instant(step.modifiers["at"]).timestamp() * 1000) - 1
        record = named[step.says] if step.verb == "again" else write(log, step, number)
        if step.verb == "again":
            log.again(record)
        if "as" in step.modifiers:
            named[step.modifiers["as"]] = record
    return Written(case, tuple(log.records), tuple(step.modifiers.get("result") for step in case.steps))


def write(log: Log, step: Step, number: int) -> Record:
    """Put a step, the number-th of its case, on the log."""
    key, value = _key_and_value(step, number)
    if "damaged" in step.modifiers:
        value = _damaged(value or b"", *step.modifiers["damaged"])
    if "respelled" in step.modifiers:
        value = _respelled(value or b"", step.modifiers["respelled"])
    headers = step.modifiers.get("headers", {}).items()
    return log.append(
        _named_key(step.modifiers.get("moved_to", key)),
        value,
        tuple((name, None if content is None else content.encode()) for name, content in headers),
    )


def _damaged(value: bytes, old: str, new: str) -> bytes:
    if old.encode() not in value:
        raise ValueError(f"nothing to damage: {old!r} is not in {value!r}")
    return value.replace(old.encode(), new.encode(), 1)


def _respelled(value: bytes, field: str) -> bytes:
    """Another base64url text of the same 64 bytes: the last of its 86 characters has bits that nobody reads."""
    before, name, rest = value.partition(b'"%b":"' % field.encode())
    text, quote, after = rest.partition(b'"')
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = alphabet[alphabet.index(text[-1:]) ^ 1 :][:1]
    return before + name + text[:-1] + other + quote + after


def _key_and_value(step: Step, number: int) -> tuple[str, bytes | None]:
    modifiers = step.modifiers
    client = _named_key(modifiers.get("client", "maria"))
    key = _named_key(modifiers.get("key", client))
    if step.verb == "json":
        return key, json.dumps(step.says, separators=(",", ":"), sort_keys=True).encode()
    if step.verb == "text":
        return key, None if step.says is None else step.says.encode()
    place = Place(client, modifiers.get("order", number * 100), modifiers.get("event_id", f"step-{number}"))
    event = MAKERS[step.verb](place, step.says)
    if not isinstance(event, records.SignedRecord):
        return key, canonical.encode(event)
    log = Log()
    chosen = _signer(event, modifiers.get("signed_by"))
    record = log.sign(event, chosen, modifiers.get("key") and key, modifiers.get("log", LOG_ID))
    assert record.key is not None
    assert record.value is not None
    return record.key.decode(), record.value


def _named_key(name: str) -> str:
    return CLIENTS.get(name, name)  # a key of None stays None


def _signer(event: records.SignedRecord, name: str | None) -> Signer:
    default = GOVERNANCE if isinstance(event, records.ControlRecord) else CONSENT
    if name is None:
        return signer("root") if isinstance(event, records.LogGenesis | records.KeyAdded) else default
    if name == "impostor":
        return Signer(default.key_id, key_from("impostor"))
    return signer(name)
