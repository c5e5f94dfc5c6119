"""What arrives: the closed shapes of a webhook's body, and of an inbox item."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field, WithJsonSchema

from schemas.beds import ReleaseReason, Unit
from schemas.events import ConsentEnd, DataCategory, PurposeOfUse
from schemas.json_schema import of_struct


class CallBack(BaseModel):
    """The member of the publisher's staff to call."""

    name: str
    phone: str | None = None
    email: str | None = None
    languages: list[str] = []


class Consent(BaseModel):
    """A consent that the disclosure rests on (42 CFR 2.32(b)), as far as it concerns what is shared here.

    `recorded_by` is the discloser, or the party of the agreement on whose attested consent it relied.
    """

    id: str
    version: int
    discloser: str
    recorded_by: str
    to: list[str]
    categories: list[DataCategory]
    purposes: list[PurposeOfUse]
    signed_on: str | None
    expires_at: str | None


class ConsentEnded(BaseModel):
    """The consent that ended, by the id under which a permit described it."""

    id: str
    reason: ConsentEnd
    version: Annotated[
        int | None, Field(description="The version that expired: a later one may be in force; absent for all of them")
    ] = None


Shared = Annotated[
    dict[DataCategory, dict[str, Any]],
    Field(description="By data category, the fields of its schema (HUD's field names and codes)"),
]


class Deidentified(BaseModel):
    """Everything that a de-identified referral says."""

    verdict: Literal["deidentified"] = "deidentified"
    publisher: str
    purpose: PurposeOfUse
    reference: Annotated[str, Field(description="Names this referral to you; answer it by this")]
    shared: Shared
    call_back: CallBack | None = None


class Identified(BaseModel):
    """What a permit shares, or a referral's status. A status has no client id and shares no category."""

    event_id: str
    verdict: Literal["permit", "status"]
    publisher: str
    publisher_project: str | None = None
    purpose: PurposeOfUse
    referral_id: str | None = None
    reference: str | None = None
    referral_version: int
    status: Annotated[str, Field(description="The referral's status; `closed` when you may know no more")]
    occurred_at: str | None = None
    respond_by: Annotated[
        str | None, Field(description="Answer by then: of `referral.respond_soon`; to the full minute as `timestamp`")
    ] = None
    call_back: CallBack | None = None
    client_id: str | None = None
    shared: Shared
    consent: list[Consent] | None = None
    consent_ended: Annotated[ConsentEnded | None, Field(description="In referral.consent_ended alone")] = None
    obligations: Annotated[list[str], Field(description="What you must do or not do, as stable codes")]
    notices: Annotated[list[str], Field(description="The obligations in words, to be kept with the data")]


class Message(BaseModel):
    """A webhook's body (Standard Webhooks), and an item of the inbox; a field that says nothing is left out."""

    type: str
    timestamp: Annotated[
        str,
        Field(
            description="When the event was published (RFC 3339, UTC); to the full minute where only `reference` names "
            "the referral"
        ),
    ]
    data: Deidentified | Identified


class HoldStep(BaseModel):
    """A step in a hold's life, told to its unit's organization and to its holder: once, whatever its beds.

    Nothing of whom it is for, and not what is said at the door.
    """

    hold_id: str
    unit_id: str
    beds: Annotated[int | None, Field(description="How many a request asks for: it has none before the yes")] = None
    bed_ids: Annotated[
        list[str] | None, Field(description="Absent for a request, and for a unit that does not show its counts")
    ] = None
    organization: Annotated[str, Field(description="The shelter's")]
    holder: Annotated[str, Field(description="The organization whose hold it is")]
    expires_at: Annotated[str | None, Field(description="When it ends by itself, while it lives")] = None
    reason: Annotated[ReleaseReason | None, Field(description="Why it was released")] = None


class HoldMessage(BaseModel):
    """The body of a webhook of the types `hold.*`: as every message, at the endpoints of a hold's two organizations."""

    type: str
    timestamp: Annotated[str, Field(description="When it happened (RFC 3339, UTC)")]
    data: HoldStep


class ExpiringConsent(BaseModel):
    """A consent that your organization recorded, and that ends soon: fourteen days before and three."""

    consent_id: str
    client_id: str
    to: list[str]
    expires_at: str
    days_left: Annotated[int, Field(description="With the day that has begun")]


class ExpiringMessage(BaseModel):
    """The body of a webhook of the type `consent.expiring`: as every message, at the recorder's endpoints alone."""

    type: str
    timestamp: Annotated[str, Field(description="When it was found (RFC 3339, UTC)")]
    data: ExpiringConsent


class TestMessage(BaseModel):
    """The body of a test request, which says nothing: POST /endpoints/{endpoint_id}/test sends it."""

    __test__ = False

    type: str
    timestamp: Annotated[str, Field(description="When it was sent (RFC 3339, UTC)")]
    data: Annotated[dict[str, Any], Field(max_length=0)]


# A receiver is to leave alone what it does not know; the topic's own readers refuse it.
_UNIT: Final = {key: value for key, value in of_struct(Unit).items() if key != "additionalProperties"}


class AvailabilityMessage(BaseModel):
    """The body of a webhook of the type `unit.availability`: all that is public of a unit, in absolute values.

    It arrives at endpoints that ask for it by name. Of two of one unit the higher `version` counts, in whatever order
    they arrive; one that an endpoint has not had when a newer one is there is not sent any more.
    """

    type: str
    timestamp: Annotated[str, Field(description="When it became so (RFC 3339, UTC)")]
    data: Annotated[dict[str, Any], WithJsonSchema(_UNIT)]
