"""The data-sharing agreement as a state machine: drafted, approved by its parties, in force, suspended. Pure."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from services.kit.problems import Problem

AgreementStatus = Literal["draft", "activating", "active", "suspended", "superseded"]


class Step(StrEnum):
    """What an agreement's approvals and suspension have come to."""

    DRAFT = "draft"
    DECIDED = "decided"
    SUSPENDING = "suspending"
    SUSPENDED = "suspended"


@dataclass(frozen=True)
class Votes:
    """An agreement's parties and which of them have approved; every one must (the rule `all`)."""

    parties: tuple[str, ...]
    approved: frozenset[str] = field(default_factory=frozenset)

    def with_approval(self, organization: str) -> "Votes":
        """Count a party's approval; a second one of the same party changes nothing."""
        if organization not in self.parties:
            raise Problem("not-a-party")
        return Votes(self.parties, self.approved | {organization})

    @property
    def decided(self) -> bool:
        """Whether every party has approved."""
        return self.approved >= set(self.parties)


def status(step: Step, *, on_every_partition: bool) -> AgreementStatus:
    """Return the status to tell: nothing is said to be active, or suspended, before all who decide know it.

    `on_every_partition` says whether the log has taken the agreement's records on every partition.
    """
    match step:
        case Step.DRAFT:
            return "draft"
        case Step.DECIDED:
            return "active" if on_every_partition else "activating"
        case Step.SUSPENDING:
            return "active"
        case Step.SUSPENDED:
            return "suspended"
