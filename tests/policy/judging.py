"""Compares what crossed with what a case says should, and with what must hold of every disclosure."""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from policy.allowed import EPOCH
from schemas.disclosures import Decision, Disclosure
from tests.policy import said
from tests.policy.scribe import Written
from tests.support.log import Record

_VERDICTS = ("permit", "deidentified", "status", "deny")
_KNOWN_AS = {"permit": "referral", "deidentified": "reference", "status": "referral", "deny": None}
_SUCCESS = ("applied", "decided")
STOPS = "stops, for a newer build to take over"


def faults(case: Written, disclosures: list[Disclosure]) -> list[str]:
    """What is not as the case tells it, and what no disclosure may ever be; empty if all is well."""
    found = [f for record, output in zip(case.records, disclosures, strict=False) for f in _never(record, output)]
    for number, (disclosure, result) in enumerate(zip(disclosures, case.results[:-1], strict=False), start=1):
        if disclosure.result not in ([result] if result else _SUCCESS):
            found.append(f"step {number} came to {disclosure.result}")
    decided = len(case.records) - len(disclosures)
    if decided != (case.case.then == STOPS):
        found.append(f"the last {decided} records stopped the policy")
    return found if decided else found + list(_differences(case.case.then, disclosures[-1]))


def _differences(then: Any, last: Disclosure) -> Iterator[str]:
    expected: dict[str, Any] = {} if isinstance(then, str) else dict(then)
    if last.result != (then if isinstance(then, str) else "decided"):
        yield f"the result is {last.result}"
    boxes = expected.pop("sealed", None)
    if boxes is not None and boxes != _sealed(last):
        yield f"sealed is {_sealed(last)}"
    told = {_party(decision): _account(decision) for decision in last.decisions}
    if sorted(told) != sorted(expected) or len(told) != len(last.decisions):
        yield f"told are {[_party(decision) for decision in last.decisions]}"
    for party in sorted(told.keys() & expected.keys()):
        for name, value in _completed(expected[party]).items():
            if told[party][name] != value:
                yield f"{party}: {name} is {told[party][name]!r}, not {value!r}"


def _party(decision: Decision) -> str:
    recipient = decision.recipient
    return recipient.organization if recipient.project is None else f"{recipient.organization}/{recipient.project}"


def _completed(expected: Mapping[str, Any]) -> dict[str, Any]:
    """What an expectation says, and what it says by not saying it."""
    verdict = next(name for name in _VERDICTS if name in expected)
    complete = {"withheld": {}, "obligations": [], "known_as": _KNOWN_AS[verdict], **expected, "verdict": verdict}
    said_of_verdict = complete.pop(verdict)
    if complete.get("until"):
        complete["until"] = (said.instant(complete["until"]) - EPOCH) // timedelta(milliseconds=1)
    match verdict:
        case "deny":
            return complete | {"reasons": [said_of_verdict]}
        case "status":
            return complete | {"status": said_of_verdict}
    return complete | {"categories": sorted(said_of_verdict)}


def _account(decision: Decision) -> dict[str, Any]:
    """A decision in the words of the tables."""
    return {
        "verdict": decision.verdict,
        "reasons": list(decision.reasons),
        "categories": sorted(decision.categories),
        "withheld": dict(decision.withheld),
        "obligations": list(decision.obligations),
        "known_as": decision.known_as,
        "status": decision.status,
        "reference": decision.reference,
        "agreements": list(decision.agreements),
        "basis": {one.id: list(one.categories) for one in decision.basis},
        "recorded_by": {one.id: one.recorded_by for one in decision.basis},
        "basis_to": sorted({to for one in decision.basis for to in one.to}),
        "signed_on": {one.id: one.signed_on for one in decision.basis},
        "valid": {one.id: [one.valid_from, one.expires_at] for one in decision.basis},
        "call_back": decision.call_back.name if decision.call_back else None,
        "until": decision.not_after,
    }


def _sealed(disclosure: Disclosure) -> dict[str, int]:
    return {category: one.seq for one in disclosure.sealed for category in one.boxes}


def _never(record: Record, disclosure: Disclosure) -> Iterator[str]:
    """What holds of every disclosure, whatever was decided."""
    if disclosure.source_sha256 != _source_sha256(record):
        yield "the source's hash is another record's"
    if not all(envelope.boxes for envelope in disclosure.sealed):
        yield "an envelope without a box goes along"
    crossing = {category for one in disclosure.decisions for category in one.categories}
    told = any(one.verdict != "deny" for one in disclosure.decisions)
    if set(_sealed(disclosure)) != crossing:
        yield f"boxes of {sorted(_sealed(disclosure))} go along with {sorted(crossing)}"
    if told != (disclosure.event is not None):
        yield "the event is shown exactly if somebody is told"
    if disclosure.event is not None and disclosure.event.data.sealed:
        yield "the event is shown with all its boxes"
    for decision in disclosure.decisions:
        yield from _too_much(decision)


def _too_much(decision: Decision) -> Iterator[str]:
    """Whether a decision says more than its verdict allows."""
    more = {
        "deny": ("categories", "known_as", "status", "call_back", "agreements", "basis", "obligations", "not_after"),
        "deidentified": ("status", "basis", "obligations", "not_after"),
        "status": ("categories", "withheld", "call_back", "basis"),
        "permit": (),
    }
    yield from (f"{decision.verdict} says {name}" for name in more[decision.verdict] if getattr(decision, name))
    if decision.verdict == "deidentified" and decision.categories != ("need",):
        yield "more than the need crosses de-identified"
    if decision.verdict == "status" and set(decision.obligations) - {"withdraw-copy"}:
        yield "a status obliges to more than to withdraw a copy"
    if decision.verdict == "permit" and not set(decision.categories) - {"need"}:
        yield "a permit of nothing but the need"


def _source_sha256(record: Record) -> str:
    """A record's hash, as whoever checks the log by themselves takes it: each part after its length, -1 for none."""
    told = hashlib.sha256(record.timestamp.to_bytes(8, "big"))
    value = None if record.value is None else hashlib.sha256(record.value).digest()
    for part in (record.key, *(each for name, content in record.headers for each in (name.encode(), content)), value):
        told.update((-1 if part is None else len(part)).to_bytes(4, "big", signed=True))
        told.update(part or b"")
    return told.hexdigest()
