"""What each party may see of a referral: its own acts, and what the boundary's decisions let it know; pure.

The status that the service keeps for itself is shown to nobody. A party sees the last word it was told or said
itself; words carry the referral's version, so that an older one never takes the place of a newer one.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from schemas.events import DataCategory

CLOSED = "closed"
State = Literal["open", "closed", "hidden"]


@dataclass(frozen=True, slots=True)
class Sight:
    """The newest word a party knows, the version it is from, and whether the party may still know it.

    `closed`: its permission has lapsed, it hears only that. `hidden`: the client excluded it, the referral is gone.
    `status_at`: when the status shown was made; known for the originator alone.
    """

    word: str
    version: int
    state: State = "open"
    status_at: datetime | None = None

    @property
    def shown(self) -> str | None:
        """The status as this party reads it; None if for it there is no such referral."""
        if self.state == "hidden":
            return None
        return CLOSED if self.state == "closed" else self.word

    @property
    def lapsed(self) -> bool:
        """Whether the party's permission has ended."""
        return self.state != "open"

    def said(self, word: str, version: int) -> "Sight":
        """After the party moved the referral itself: that much it knows, whatever else it may know."""
        return replace(self, word=word, version=version)

    def said_by_originator(self, word: str, version: int, status_at: datetime) -> "Sight":
        """After the originator moved its own referral; what it does itself was never closed to it."""
        del self
        return Sight(word, version, status_at=status_at)

    def told_originator(self, word: str, version: int, status_at: datetime | None) -> "Sight":
        """After a decision let the originator hear what a recipient did."""
        if version < self.version:
            return self
        if word == CLOSED:
            return replace(self, state="closed", status_at=status_at)
        return Sight(word, version, status_at=status_at)

    def told(self, word: str, version: int) -> "Sight":
        """After a decision let a recipient hear this word: the last decision says whether it may still know."""
        if word == CLOSED:
            return replace(self, state="closed")
        if version < self.version:
            return replace(self, state="open")
        return Sight(word, version)

    def denied(self, reasons: Collection[str], withheld: Mapping[DataCategory, str], *, by_reference: bool) -> "Sight":
        """After a decision let nothing of an event cross to a recipient that knew the referral."""
        if "excluded" in reasons:
            return replace(self, state="hidden")
        # An update never brings the need alone; that is no loss of the permission to know of it.
        still_permitted = by_reference and withheld.get("need") == "only-with-the-request"
        unknown = "not-known-to-recipient" in reasons or "historical" in reasons
        return self if still_permitted or unknown else replace(self, state="closed")
