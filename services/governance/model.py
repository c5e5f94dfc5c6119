"""The data-sharing agreement as a state machine: drafted, approved, in force, left, suspended, superseded. Pure."""

from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from typing import Final, Literal

from services.kit.problems import Problem

AgreementStatus = Literal["draft", "activating", "active", "suspended", "superseded"]
FEWEST_PARTIES: Final = 2
"""Between whom something can be shared at all."""


class Step(StrEnum):
    """What an agreement's approvals, its suspension and its successor have come to."""

    DRAFT = "draft"
    DECIDED = "decided"
    SUSPENDING = "suspending"
    SUSPENDED = "suspended"
    SUPERSEDING = "superseding"
    SUPERSEDED = "superseded"


@dataclass(frozen=True)
class Votes:
    """An agreement's parties, which of them have approved or left, and whose approvals decide it.

    Others' votes bring an agreement into force, but nobody's data under it: that takes the party's own word.
    """

    parties: tuple[str, ...]
    approved: frozenset[str] = field(default_factory=frozenset)
    left: frozenset[str] = field(default_factory=frozenset)
    share: Decimal = Decimal(1)
    must_include: frozenset[str] = field(default_factory=frozenset)

    def with_approval(self, organization: str) -> "Votes":
        """Count a party's approval; a second one of the same party changes nothing."""
        if organization not in self.parties:
            raise Problem("not-a-party")
        if organization in self.left:
            raise Problem("wrong-status", "Who has left comes back by an agreement that supersedes this one.")
        return replace(self, approved=self.approved | {organization})

    def without(self, organization: str) -> "Votes":
        """Count no word of a party that leaves."""
        return replace(self, left=self.left | {organization})

    @property
    def in_force(self) -> tuple[str, ...]:
        """The parties for which the agreement is in force once it is decided: they approved, and have not left."""
        return tuple(party for party in self.parties if party in self.approved - self.left)

    @property
    def shared(self) -> bool:
        """Whether there is anybody left to share with."""
        return len(self.in_force) >= FEWEST_PARTIES

    @property
    def decided(self) -> bool:
        """Whether enough parties have approved, and all that must be among them."""
        enough = len(self.in_force) >= self.share * len(self.parties)
        return self.shared and enough and self.must_include <= set(self.in_force)


def status(step: Step, *, on_every_partition: bool) -> AgreementStatus:
    """Return the status to tell: nothing is said to be active, or at its end, before all who decide know it.

    `on_every_partition` says whether the log has taken the agreement's activation on every partition.
    """
    match step:
        case Step.DRAFT:
            return "draft"
        case Step.DECIDED:
            return "active" if on_every_partition else "activating"
        case Step.SUSPENDING | Step.SUPERSEDING:
            return "active"
        case Step.SUSPENDED:
            return "suspended"
        case Step.SUPERSEDED:
            return "superseded"
