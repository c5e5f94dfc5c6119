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


def lacks(held: ClientConsents, said: ClientConsents) -> bool:
    """Whether anything that narrows was said and is not held, though something later may be."""
    return replace(with_what_narrows(held, said), mark=held.mark) != held


def without_older(held: ClientConsents, granted: Mapping[str, int]) -> ClientConsents:
    """What is held without the consents of which a later version was granted, by their ids and orders, and is lost."""
    return replace(held, grants=tuple(one for one in held.grants if granted.get(one.consent.id, 0) <= one.order))


def _both(held: tuple[Held, ...], said: tuple[Held, ...]) -> tuple[Held, ...]:
    return tuple(sorted({*held, *said}, key=lambda each: each.order))
