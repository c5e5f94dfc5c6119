"""What the services made of an import: counts, what they refused and why; never a value of a client's row."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

Kind = Literal[
    "organizations",
    "projects",
    "contacts",
    "credentials",
    "identifier systems",
    "units",
    "censuses",
    "withdrawals",
    "registrations",
    "referrals",
    "transitions",
]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Remark:
    """Something refused, or left as it was found; `about` names organizations, projects or events, never a client."""

    kind: Kind
    about: str
    why: str


@dataclass(slots=True)
class Results:
    """Collects what became of each thing of a plan."""

    made: Counter[Kind] = field(default_factory=Counter)
    present: Counter[Kind] = field(default_factory=Counter)
    refused: Counter[Kind] = field(default_factory=Counter)
    remarks: Counter[Remark] = field(default_factory=Counter)
    clients: set[str] = field(default_factory=set)

    def count(self, kind: Kind, *, present: bool) -> None:
        """Count something that is made, or that was there already."""
        (self.present if present else self.made)[kind] += 1

    def refuse(self, kind: Kind, about: str, why: str) -> None:
        """Count something that a service refused, or that needs what was refused."""
        self.refused[kind] += 1
        self.remarks[Remark(kind, about, why)] += 1

    def remark(self, kind: Kind, about: str, why: str) -> None:
        """Say something about what is there."""
        self.remarks[Remark(kind, about, why)] += 1

    def as_json(self) -> dict[str, Any]:
        """Give the results as JSON values: counts per kind, and each remark with how often it was made."""
        counts = {
            kind.replace(" ", "_"): {
                "made": self.made[kind],
                "present": self.present[kind],
                "refused": self.refused[kind],
            }
            for kind in KINDS
        }
        remarks = [
            {"kind": each.kind.replace(" ", "_"), "about": each.about, "why": each.why, "count": count}
            for each, count in self.remarks.items()
        ]
        return {"clients": len(self.clients), "results": counts, "remarks": remarks}
