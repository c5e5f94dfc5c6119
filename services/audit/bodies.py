"""What audit's API answers. A field that is not for the reader is absent."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from schemas.disclosures import Verdict
from schemas.events import ConsentMethod, DataCategory, PurposeOfUse


class Basis(BaseModel):
    """A consent that was relied on, as far as it is about what crossed; `recorded_by` if not by the discloser."""

    id: str
    version: int
    discloser: str
    to: list[str]
    categories: list[DataCategory]
    purposes: list[PurposeOfUse]
    valid_from: datetime
    method: ConsentMethod
    signed_on: str | None = None
    expires_at: datetime | None = None
    recorded_by: str | None = None


class InError(BaseModel):
    """A consent that was entered in error, and since when the log says so."""

    consent: str
    at: datetime


class Crossing(BaseModel):
    """What one event was to bring to one party, `at` being the log's time.

    The publisher's row has everything. A recipient's has what was delivered to it, and without a permit of the
    referral no name of it but the `reference`. A row of the community's auditor has a `pseudonym` of the client.
    """

    id: str | None = None
    pseudonym: str | None = None
    client_id: str | None = None
    event_id: str | None = None
    referral_id: str | None = None
    reference: str | None = None
    at: datetime
    type: str
    publisher: str
    publisher_project: str | None = None
    recipient: str
    recipient_project: str | None = None
    purpose: PurposeOfUse
    verdict: Verdict
    status: str | None = None
    basis: list[Basis] = []
    agreements: list[str] | None = None
    obligations: list[str] | None = None
    entered_in_error: Annotated[
        list[InError],
        Field(description="The consents under which it was sent and which were entered in error since; absent if none"),
    ] = []


class Decision(Crossing):
    """A decision. `withheld` gives each category that stays behind the code of its reason."""

    categories: list[DataCategory]
    withheld: dict[DataCategory, str] | None = None
    reasons: list[str] | None = None
    policy_version: int | None = None


class Outcome(BaseModel):
    """Where a delivery stands: the last thing that became of it, and of which attempt.

    `consents` (ids) and `obligations` are what it rested on when it was sent; its message named them too. The line's
    `basis` and `obligations` are what was decided before: consents may have been signed and revoked in between.
    """

    channel: Literal["webhook", "inbox"]
    state: Literal["released", "started", "delivered", "failed", "withheld", "not_sent", "given_up"]
    at: datetime
    attempt: int
    verdict: Literal["permit", "deidentified", "status", "closed", "withheld"]
    categories: list[DataCategory]
    reason: str | None = None
    consents: list[str]
    obligations: list[str]


class Disclosure(Crossing):
    """A line of a client's accounting. `categories` were delivered so far; `permitted` is what the log let cross.

    `referral_entered_in_error`: its referral should never have been made, as its originator said later. Nothing else
    changes.
    """

    categories: list[DataCategory]
    permitted: list[DataCategory] | None = None
    referral_entered_in_error: Literal[True] | None = None
    deliveries: list[Outcome]
