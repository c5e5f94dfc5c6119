"""What the boundary writes: the disclosure that answers each record; and what became of it, a delivery."""

from typing import Annotated, Literal

from msgspec import Meta, field

from schemas.events import (
    ByCategory,
    Closed,
    ConsentMethod,
    Count,
    DataCategory,
    Envelope,
    Identifier,
    Party,
    PurposeOfUse,
    ReferralData,
    Sha256,
    StaffText,
    Timestamp,
)

Verdict = Literal["permit", "deidentified", "status", "deny"]


class Basis(Closed, frozen=True):
    """A consent as its recipient may see it: the description that 42 CFR 2.32(b) asks to go with the data.

    `recorded_by`: who recorded it, if the discloser relied on another party's.
    """

    id: Identifier
    version: Count
    discloser: Identifier
    to: tuple[Identifier, ...]
    categories: tuple[DataCategory, ...]
    purposes: tuple[PurposeOfUse, ...]
    valid_from: Timestamp
    method: ConsentMethod
    signed_on: str | None = None
    expires_at: Timestamp | None = None
    recorded_by: Identifier | None = None


class CallBack(Closed, frozen=True):
    """The member of staff to call, as registered when it was decided."""

    name: StaffText
    phone: StaffText | None = None
    email: StaffText | None = None
    languages: tuple[str, ...] = ()


class Decision(Closed, frozen=True):
    """What of one event crosses to one party. `not_after` is in milliseconds since 1970 (UTC)."""

    recipient: Party
    verdict: Verdict
    reasons: tuple[str, ...] = ()
    categories: tuple[DataCategory, ...] = ()
    withheld: Annotated[dict[DataCategory, str], ByCategory] = field(default_factory=dict)
    reference: Identifier | None = None
    known_as: Literal["referral", "reference"] | None = None
    status: str | None = None
    call_back: CallBack | None = None
    agreements: tuple[Identifier, ...] = ()
    basis: tuple[Basis, ...] = ()
    obligations: tuple[str, ...] = ()
    not_after: Count | None = None


class DisclosedEvent(Closed, frozen=True):
    """The decided event without its boxes."""

    id: Identifier
    type: Identifier
    time: Timestamp
    data: ReferralData


class Disclosure(Closed, frozen=True):
    """The one output of one record of `client-events`: offset k of a partition answers offset k of its source."""

    source_offset: Count
    source_sha256: Sha256
    policy_version: Count
    at: Count  # milliseconds since 1970: running maximum of the source's LogAppendTime
    result: Identifier
    digest: Sha256
    event: DisclosedEvent | None = None
    decisions: tuple[Decision, ...] = ()
    sealed: tuple[Envelope, ...] = ()


class Delivery(Closed, frozen=True):
    """What became of one release at one endpoint or inbox; states only move forward.

    Of a permit that was sent: `consents`, the ids of those it rested on then, and `obligations`, as the custodian
    answered both. The decision on the log may have rested on others.
    """

    id: Identifier
    decision_id: Annotated[str, Meta(min_length=3, max_length=160)]
    client_id: Identifier
    recipient: Party
    channel: Literal["webhook", "inbox"]
    attempt: Count
    state: Literal["released", "started", "delivered", "failed", "withheld", "not_sent", "given_up"]
    verdict: Literal["permit", "deidentified", "status", "closed", "withheld"]
    time: Timestamp
    endpoint_id: Identifier | None = None
    categories: tuple[DataCategory, ...] = ()
    release_id: Identifier | None = None
    reason: Identifier | None = None
    consents: tuple[Identifier, ...] = ()
    obligations: tuple[str, ...] = ()
