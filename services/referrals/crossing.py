"""What crossed to a recipient about one client, in words that the originator may know; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, Protocol

from schemas.events import DataCategory
from services.kit.sayable import UNSAID, sayable

CrossingVerdict = Literal["permit", "deidentified", "not_sent"]
Trouble = Literal["failed", "given_up"]
DeliveryState = Literal["pending", "delivered", "withheld"] | Trouble

UNDECIDED: Final = "It is not decided yet what may be sent."
_EXPLAINED: Final[Mapping[CrossingVerdict, str]] = {
    "permit": "The recipient may know who this is, and gets the categories listed.",
    "deidentified": "The recipient gets the need alone, and does not learn who this is.",
    "not_sent": "The recipient gets nothing about this person.",
}


class Decided(Protocol):
    """A decision on an event that carried boxes, and what became of it."""

    verdict: str | None  # None until decided
    categories: list[DataCategory]
    withheld: dict[DataCategory, str]
    released_verdict: str | None  # as delivered: the custodian may have cut it
    released_categories: list[DataCategory] | None
    delivered_at: datetime | None
    stopped: str | None  # why the custodian let nothing go
    decided_at: datetime | None
    trouble: Trouble | None  # of the last attempt that did not arrive


@dataclass(frozen=True, slots=True)
class Crossing:
    """The newest that crossed, or may cross any moment, and what of the newest event stays behind, and why.

    A category can stand in both: it crossed once, and would not now. `delivery` is of what crossed; of nothing it is
    withheld, or pending until that is decided.
    """

    verdict: CrossingVerdict
    categories: tuple[DataCategory, ...]
    withheld: Mapping[DataCategory, str]
    delivered_at: datetime | None
    decided_at: datetime | None
    delivery: DeliveryState

    @property
    def explained(self) -> str:
        """The verdict in a sentence."""
        return UNDECIDED if self.verdict == "not_sent" and self.delivery == "pending" else _EXPLAINED[self.verdict]


def crossing(decisions: Sequence[Decided]) -> Crossing:
    """Sum up the decisions on one client's events for one recipient, in their order on the log."""
    decided = [each for each in decisions if each.verdict is not None]
    crossed = next((each for each in reversed(decided) if _crosses(each)), None)
    withheld = _withheld(decided[-1]) if decided else {}
    if crossed is None:
        decided_at = decided[-1].decided_at if decided else None
        return Crossing("not_sent", (), withheld, None, decided_at, "withheld" if decided else "pending")
    return Crossing(
        "permit" if (crossed.released_verdict or crossed.verdict) == "permit" else "deidentified",
        tuple(_sent(crossed)),
        withheld,
        crossed.delivered_at,
        crossed.decided_at,
        "delivered" if crossed.delivered_at is not None else crossed.trouble or "pending",
    )


def _crosses(decision: Decided) -> bool:
    if decision.verdict not in {"permit", "deidentified"}:
        return False
    return decision.delivered_at is not None or decision.stopped is None


def _sent(decision: Decided) -> list[DataCategory]:
    return decision.categories if decision.released_categories is None else decision.released_categories


def _withheld(decision: Decided) -> dict[DataCategory, str]:
    sent = _sent(decision) if _crosses(decision) else []
    cut = {category: decision.stopped or UNSAID for category in decision.categories if category not in sent}
    return {category: sayable(reason) for category, reason in sorted({**decision.withheld, **cut}.items())}
