"""What the log says narrows about a client, and a restored database has lost. Pure."""

from collections.abc import Mapping
from typing import TypeVar

from msgspec.structs import replace

from schemas.events import ClientConsents, HeldConsent, HeldRevocation

Held = TypeVar("Held", bound=HeldConsent | HeldRevocation)


def with_what_narrows(held: ClientConsents, said: ClientConsents) -> ClientConsents:
    """What is held with every refusal, exclusion and revocation of `said` too, and no grant of it."""
    return replace(
        held,
        mark=max(held.mark, said.mark),
        refusals=_both(held.refusals, said.refusals),
        exclusions=_both(held.exclusions, said.exclusions),
        revocations=_both(held.revocations, said.revocations),
    )


def is_behind(last_order: int, held: ClientConsents, said: ClientConsents) -> bool:
    """Whether tables with this of a client are older than the log: a later order, what narrows, or a renewal is there.

    Something later than what they lack may be held. Of a consent of which they have nothing, nothing is permitted.
    """
    return (
        said.mark > last_order
        or _lacks(held.refusals, said.refusals)
        or _lacks(held.exclusions, said.exclusions)
        or _lacks(held.revocations, said.revocations)
        or _has_older(held.grants, said.grants)
    )


def without_older(held: ClientConsents, granted: Mapping[str, int]) -> ClientConsents:
    """What is held without the consents of which a later version was granted, by their ids and orders, and is lost."""
    return replace(held, grants=tuple(one for one in held.grants if granted.get(one.consent.id, 0) <= one.order))


def _lacks(held: tuple[Held, ...], said: tuple[Held, ...]) -> bool:
    return held != said and not set(held).issuperset(said)  # equal, as nearly always, they are compared much faster


def _has_older(held: tuple[HeldConsent, ...], said: tuple[HeldConsent, ...]) -> bool:
    renewed = {one.consent.id: one.order for one in said}
    return bool(renewed) and any(one.order < renewed.get(one.consent.id, 0) for one in held)


def _both(held: tuple[Held, ...], said: tuple[Held, ...]) -> tuple[Held, ...]:
    return tuple(sorted({*held, *said}, key=lambda each: each.order))
