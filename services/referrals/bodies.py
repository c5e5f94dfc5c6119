"""What the referrals API takes and answers."""

import re
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field, StringConstraints

from schemas.categories import Segments
from schemas.codes import RelationshipToHeadOfHousehold
from schemas.events import DataCategory, DeclinedBy, DeclineReason, PurposeOfUse, ReferralStatus
from schemas.fields import Closed, ShortText
from schemas.need import NeedDetails, Service
from services.kit.bodies import Code
from services.kit.problems import refusal
from services.referrals.crossing import CrossingVerdict, DeliveryState

LARGEST_HOUSEHOLD = 20
_RFC3339 = re.compile(r"(?:19|20|21)\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)


def _instant(value: object) -> object:
    requirement = refusal("must be a time as RFC 3339 writes it, with its offset from UTC")
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise requirement
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        raise requirement from None


ClientId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{16,64}$")]
Instant = Annotated[datetime, BeforeValidator(_instant, json_schema_input_type=str)]
ShownStatus = Literal[ReferralStatus, "closed"]
StepBy = Literal["originator", "recipient", "clock"]
TransitionTo = Literal[
    "accepted", "declined", "cancelled", "started", "on_hold", "completed", "failed", "entered_in_error"
]


class Actor(Closed):
    """The person behind the API client: an opaque id of the organization's own, and a role."""

    id: Code
    role: Code


class Writing(Closed):
    """A writing body: names, if it wants, who is behind the API client."""

    actor: Actor | None = None


class NewMember(Closed):
    """A client of the household and what is said about the person, by data category."""

    client_id: ClientId
    relationship_to_hoh: RelationshipToHeadOfHousehold
    segments: Segments = Segments()  # type: ignore[valid-type]  # made from the table of categories


class Addressee(Closed):
    """The organization that is asked, and the project of it if that matters."""

    organization: Code
    project: Code | None = None


class NewReferral(Writing):
    """A referral to publish. `external_id` stays here, for its originator alone."""

    members: Annotated[list[NewMember], Field(min_length=1, max_length=LARGEST_HOUSEHOLD)]
    to: Addressee
    publisher_project: Code | None = None
    service: Service
    purpose: PurposeOfUse
    need: NeedDetails
    call_back: Code
    respond_by: Instant | None = None
    external_id: ShortText | None = None
    occurred_at: Instant | None = None
    historical: bool = False


class NewSegments(Writing):
    """More, or newer, to say about one client of a referral."""

    client_id: ClientId
    segments: Segments  # type: ignore[valid-type]  # made from the table of categories


class NewTransition(Writing):
    """The next step of a referral's lifecycle."""

    to: TransitionTo
    reason_code: DeclineReason | None = None
    declined_by: DeclinedBy | None = None


class ReferralStatusView(BaseModel):
    """All that a recipient sees; `id` is the name it asked by, in a list the referral's id if it was given that."""

    id: str
    status: ShownStatus

    @classmethod
    def of(cls, name: str, shown: str | None) -> "ReferralStatusView":
        """Show a status as it stands in a row; pydantic.ValidationError for what is none."""
        return ReferralStatusView.model_validate({"id": name, "status": shown})


class MemberView(BaseModel):
    """A client of the household, and what is sealed about the person."""

    client_id: str
    head_of_household: bool
    categories: list[DataCategory]


class Explained(BaseModel):
    """What crossed, and why each category stayed behind, in sentences for a person; the codes say the same."""

    verdict: str
    withheld: dict[DataCategory, str]


class CrossingView(BaseModel):
    """What crossed about one client: categories sent, and withheld with the reason, as the originator may know it.

    `decided_at` is the log's time. `delivery`: `failed` is tried again; what was `given_up` lies in the recipient's
    inbox still; `withheld` is of all that may not be sent. None of them before that was kept.
    """

    recipient: Addressee
    client_id: str
    reference: str | None
    verdict: CrossingVerdict
    categories: list[DataCategory]
    withheld: dict[DataCategory, str]
    delivered_at: datetime | None
    explained: Explained
    decided_at: datetime | None
    delivery: DeliveryState


class StepView(BaseModel):
    """A status of the referral that its originator made or was told of, when, and who made it."""

    status: ShownStatus
    at: datetime
    by: StepBy


class ReferralView(ReferralStatusView):
    """All that its originator sees: everything but the boxes.

    `status_at` is the time that the event which made this status bears on the log, by this service's clock; of
    `requested`, `created_at`. None for another status that was made before this was kept. `history` has the request and
    the newest steps of which the originator was told, or which it made. `nudged_at`: when the recipient, as far as it
    may know of the referral, was asked again.
    """

    status_at: datetime | None
    version: int
    to: Addressee
    publisher_project: str | None
    purpose: PurposeOfUse
    call_back: str
    respond_by: datetime | None
    nudged_at: datetime | None
    external_id: str | None
    occurred_at: datetime | None
    historical: bool
    created_at: datetime
    members: list[MemberView]
    crossing: list[CrossingView]
    history: list[StepView]
