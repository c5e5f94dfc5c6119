"""One client's consents: the fold of the signed records about them.

Records are kept, not merged: what a revocation cuts or a refusal beats is read off their orders when it is asked. So
records that narrow may come in any sequence, or twice, and say the same.
"""

from typing import TypeVar

from msgspec.structs import replace

from schemas.events import ClientConsents, ConsentData, HeldConsent, HeldRevocation
from schemas.records import (
    ConsentAttested,
    ConsentEnteredInError,
    ConsentEvent,
    ConsentExcluded,
    ConsentExpired,
    ConsentGranted,
    ConsentRefused,
    ConsentRestated,
    ConsentRevoked,
)

Dated = ConsentGranted | ConsentRefused | ConsentExcluded
NONE = ClientConsents()
Held = TypeVar("Held", bound=HeldConsent | HeldRevocation)


def apply(consents: ClientConsents, event: ConsentEvent) -> ClientConsents | None:
    """The state after `event` (whose signature fits); None if it is a late widening."""
    order = event.data.order
    if isinstance(event, ConsentGranted | ConsentRestated) and order <= consents.mark:
        return None
    changed = _changed(consents, event)
    return replace(changed, mark=max(consents.mark, changed.mark, order))


def _changed(consents: ClientConsents, event: ConsentEvent) -> ClientConsents:
    match event:
        case ConsentGranted():
            # A consent's new version takes the place of its old one.
            others = tuple(grant for grant in consents.grants if grant.consent.id != event.data.consent.id)
            granted = replace(held_of(event.data), attested=isinstance(event, ConsentAttested))
            return replace(consents, grants=(*others, granted))
        case ConsentRefused():
            return replace(consents, refusals=_with(consents.refusals, held_of(event.data)))
        case ConsentExcluded():
            return replace(consents, exclusions=_with(consents.exclusions, held_of(event.data)))
        case ConsentRevoked():
            return replace(consents, revocations=_with(consents.revocations, cut_of(event)))
        case ConsentExpired():
            return consents
        case ConsentRestated():
            return replace(event.data.consents, in_doubt=False)


def cut_of(event: ConsentRevoked) -> HeldRevocation:
    """The revocation as the state keeps it."""
    in_error = isinstance(event, ConsentEnteredInError)
    return HeldRevocation(order=event.data.order, revocation=event.data.revocation, in_error=in_error)


def held_of(data: ConsentData) -> HeldConsent:
    """A grant, refusal or exclusion as the state keeps it; that a grant is attested is the event's to say."""
    return HeldConsent(order=data.order, recorder=data.publisher.organization, consent=data.consent)


def _with(held: tuple[Held, ...], one: Held) -> tuple[Held, ...]:
    """In their orders, whatever the sequence they came in; a copy changes nothing."""
    return held if one in held else tuple(sorted([*held, one], key=lambda each: each.order))
