"""What the boundary decided that one party is told: read from `disclosures`, with the sealed boxes it needs. Pure."""

from collections.abc import Iterator
from typing import Final, Literal, get_args

import msgspec
from msgspec.structs import replace

from schemas.disclosures import Decision, DisclosedEvent, Disclosure
from schemas.events import Closed, Envelope, Party
from schemas.records import ReferralEnteredInError, ReferralEvents

CLOSED: Final = "closed"
CLOSED_TYPE: Final = "referral.closed"
"""The type of an event that may say no more than `closed`: its own type would say more."""
EVENT_TYPES: Final = (*(str(kind.__struct_config__.tag) for kind in get_args(ReferralEvents)), CLOSED_TYPE)
EVERYTHING: Final = "*"
_IN_ERROR: Final = ReferralEnteredInError.__struct_config__.tag


class Told(Closed, frozen=True, kw_only=True):
    """One decision that is not deny, with its event and, still sealed, the boxes of its categories.

    Its id is "<partition>/<offset in client-events>/<organization told>[:<project told>]".
    """

    id: str
    event: DisclosedEvent
    decision: Decision
    envelopes: tuple[Envelope, ...] = ()

    @property
    def verdict(self) -> Literal["permit", "deidentified", "status"]:
        """What was decided; ValueError for a denial, of which nobody is told."""
        if self.decision.verdict == "deny":
            raise ValueError("nobody is told of a denial")
        return self.decision.verdict

    @property
    def party(self) -> Party:
        """Who is told."""
        return self.decision.recipient

    @property
    def concerned(self) -> Party:
        """The referral's recipient that it is about: the one told, or the one whose event its originator is told."""
        data = self.event.data
        if data.publisher.organization == data.referral.originator.organization:
            return self.party
        found = next(each for each in data.recipients if each.organization == data.publisher.organization)
        return Party(organization=found.organization, project=found.project)

    @property
    def in_error(self) -> bool:
        """Whether it tells that its referral was entered in error."""
        return self.event.type == _IN_ERROR

    @property
    def types(self) -> tuple[str, ...]:
        """The types as which it may arrive: until the custodian was asked, a status may still become `closed`.

        The end of a consent says no less by its type than in its body, so it keeps it.
        """
        if self.decision.verdict != "status" or self.event.data.consent_ended is not None:
            return (self.event.type,)
        return (CLOSED_TYPE,) if self.decision.status == CLOSED else (self.event.type, CLOSED_TYPE)


_ENCODER: Final = msgspec.json.Encoder()
_DISCLOSURE: Final = msgspec.json.Decoder(Disclosure)
_TOLD: Final = msgspec.json.Decoder(Told)


def told_by(partition: int, value: bytes | None) -> Iterator[Told]:
    """Give what each party is told by one record of `disclosures`, nothing for those denied."""
    disclosure = _DISCLOSURE.decode(value or b"")
    event = disclosure.event
    if event is None:
        return
    for decision in disclosure.decisions:
        if decision.verdict != "deny":
            yield Told(
                id=_decision_id(partition, disclosure.source_offset, decision.recipient),
                event=event,
                decision=replace(decision, withheld={}, reasons=()),  # why something stays behind is not for it
                envelopes=_needed(disclosure.sealed, decision),
            )


def wants(types: list[str], possible: tuple[str, ...]) -> bool:
    """Tell whether a filter lets any of these types through."""
    return EVERYTHING in types or any(each in types for each in possible)


def encode(told: Told) -> bytes:
    """Write it for the database."""
    return _ENCODER.encode(told)


def decode(stored: bytes) -> Told:
    """Read what `encode` wrote."""
    return _TOLD.decode(stored)


def _decision_id(partition: int, offset: int, party: Party) -> str:
    name = party.organization if party.project is None else f"{party.organization}:{party.project}"
    return f"{partition}/{offset}/{name}"


def _needed(sealed: tuple[Envelope, ...], decision: Decision) -> tuple[Envelope, ...]:
    kept = []
    for envelope in sealed:
        boxes = {category: box for category, box in envelope.boxes.items() if category in decision.categories}
        if boxes:
            kept.append(replace(envelope, boxes=boxes))
    return tuple(kept)
