"""The bytes of a disclosure, put together from canonical pieces; what an event said is cut out of its own bytes."""

from hashlib import sha256
from operator import attrgetter

from msgspec.structs import replace

from policy import canonical
from policy.state import PartitionState
from schemas.disclosures import Decision
from schemas.events import DataCategory, Envelope
from schemas.records import Event, ReferralEvent

_SEQ = attrgetter("seq")
_NO_DIGEST = b"0" * 64


def answer(
    state: PartitionState,
    source: bytes,
    result: str,
    decisions: tuple[Decision, ...],
    event: Event | None,
    value: bytes,
) -> bytes:
    """The canonical form of the `Disclosure` for the state's next record; moves the state past it.

    `source` is the record's hash, `value` the canonical form of `event`. Of an event that nobody is told of, nothing is
    shown. The digest is sha256 over the digest before and this disclosure with zeros in the digest's place.
    """
    told = [decision for decision in decisions if decision.verdict != "deny"]
    pieces = [b'{"at":%d' % state.at]
    if decisions:
        pieces += (b',"decisions":', canonical.encode(decisions))
    pieces += (b',"digest":"', _NO_DIGEST, b'"')
    place = len(pieces) - 2
    shown = event if told and isinstance(event, ReferralEvent) else None
    if shown is not None:
        pieces += (b',"event":', *_without_boxes(value))
    pieces.append(b',"policy_version":%d,"result":"%b"' % (state.control.policy_version, result.encode()))
    if shown is not None and (boxes := _permitted(shown.data.sealed, told)):
        pieces += (b',"sealed":', canonical.encode(boxes))
    pieces.append(b',"source_offset":%d,"source_sha256":"%b"}' % (state.next, source.hex().encode()))
    state.digest = sha256(state.digest + b"".join(pieces)).digest()
    state.next += 1
    pieces[place] = state.digest.hex().encode()
    return b"".join(pieces)


def _without_boxes(event: bytes) -> tuple[bytes, bytes, bytes]:
    """A referral event's data without `sealed`, its id, and its time and type.

    In canonical form `sealed` stands last in `data`, and `source` before `time`. None of the names looked for can
    stand inside a text, where each quote has a backslash before it, and no other object of an event has them so.
    """
    data = event.rfind(b'},"id":"')
    boxes = event.find(b',"sealed":[', 0, data)
    source = event.find(b',"source":"', data)
    return event[: data if boxes < 0 else boxes], event[data:source], event[event.find(b',"time":"', source) :]


def _permitted(sealed: tuple[Envelope, ...], told: list[Decision]) -> list[Envelope]:
    """The boxes permitted to anyone, once; of each category the one of the newest envelope."""
    wanted: set[DataCategory] = set()
    for decision in told:
        wanted.update(decision.categories)
    kept = []
    for envelope in sealed if len(sealed) == 1 else sorted(sealed, key=_SEQ, reverse=True):
        boxes = {category: box for category, box in envelope.boxes.items() if category in wanted}
        if boxes:
            wanted.difference_update(boxes)
            kept.append(replace(envelope, boxes=boxes))
    return kept
