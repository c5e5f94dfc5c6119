"""The lifecycle of a referral, who may move it, and who makes up a household; pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from types import MappingProxyType
from typing import Final, get_args

from schemas.codes import RelationshipToHeadOfHousehold
from schemas.events import ReferralStatus

OPEN: Final[frozenset[ReferralStatus]] = frozenset({"requested", "accepted", "started", "on_hold"})
_ENDS: Final[frozenset[ReferralStatus]] = frozenset({"completed", "failed", "cancelled"})

_ARROWS: Final[Mapping[ReferralStatus, frozenset[ReferralStatus]]] = {
    "requested": frozenset({"accepted", "declined", "cancelled", "expired"}),
    "accepted": _ENDS | {"started", "on_hold"},
    "started": _ENDS | {"on_hold"},
    "on_hold": _ENDS | {"started"},
}
IN_ERROR: Final[ReferralStatus] = "entered_in_error"
"""What should never have been made can be said to be so in whatever status; nothing follows it."""
FOLLOWING: Final[Mapping[ReferralStatus, frozenset[ReferralStatus]]] = MappingProxyType(
    {status: _ARROWS.get(status, frozenset()) | {IN_ERROR} for status in get_args(ReferralStatus) if status != IN_ERROR}
)


class Role(Enum):
    """Who moves a referral."""

    ORIGINATOR = "originator"
    RECIPIENT = "recipient"
    CLOCK = "clock"  # nobody answered in time


MAY: Final[Mapping[Role, frozenset[ReferralStatus]]] = MappingProxyType(
    {
        Role.ORIGINATOR: frozenset({"cancelled", IN_ERROR}),
        Role.RECIPIENT: frozenset({"accepted", "declined", "started", "on_hold", "completed", "failed"}),
        Role.CLOCK: frozenset({"expired"}),
    }
)
# Who may know nothing more of a referral can only let go of it.
LAPSED_RECIPIENT_MAY: Final[frozenset[ReferralStatus]] = frozenset({"declined", "cancelled"})


NUDGED_AFTER: Final = 0.75  # of the time to answer
SHORTEST_TO_NUDGE: Final = timedelta(minutes=2)


def nudge_at(created_at: datetime, respond_by: datetime | None) -> datetime | None:
    """When a recipient that has not answered is asked again; None where there is hardly time for the first asking."""
    if respond_by is None or respond_by - created_at < SHORTEST_TO_NUDGE:
        return None
    return created_at + (respond_by - created_at) * NUDGED_AFTER


class InvalidTransition(Exception):
    """The lifecycle does not have this transition, or not by this party now; the text is shown to the caller."""


class NotAHousehold(ValueError):
    """Members that make no household; `index` is the member at fault, None for all together."""

    def __init__(self, requirement: str, index: int | None = None) -> None:
        super().__init__(requirement)
        self.index = index


def check_transition(status: ReferralStatus, to: ReferralStatus, role: Role, *, lapsed: bool = False) -> None:
    """Raise InvalidTransition unless `role` may move a referral from `status` to `to`.

    `lapsed`: the recipient's permission to know of the client has ended.
    """
    may = LAPSED_RECIPIENT_MAY if lapsed and role is Role.RECIPIENT else MAY[role]
    if to not in may:
        raise InvalidTransition(
            f"Not for the referral's {role.value}{' once its permission lapsed' if lapsed else ''}."
        )
    if to not in FOLLOWING.get(status, frozenset()):
        raise InvalidTransition("The referral's present status does not lead there.")


def head_of_household(client_ids: Sequence[str], relationships: Sequence[int]) -> str:
    """Return the client id of the one head of household (HUD 3.15: relationship 1); NotAHousehold otherwise."""
    for index, client_id in enumerate(client_ids):
        if client_id in client_ids[:index]:
            raise NotAHousehold("must name each client once", index)
    heads = [
        client_id
        for client_id, relationship in zip(client_ids, relationships, strict=True)
        if relationship == RelationshipToHeadOfHousehold.SELF
    ]
    if len(heads) != 1:
        raise NotAHousehold("must have exactly one member with relationship_to_hoh 1, the head of household")
    return heads[0]
