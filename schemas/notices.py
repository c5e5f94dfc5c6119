"""What one organization is told of its own work: it rests on no decision, and goes to nobody else."""

from typing import Annotated

from msgspec import Meta

from schemas.events import ClientIdentifier, Closed, Code, Count, Identifier, Party, PurposeOfUse, Timestamp
from schemas.records import CloudEvent


class EndingConsent(Closed, frozen=True):
    """A consent, for whoever recorded it; `days_left` counts the day that has begun."""

    consent_id: Identifier
    client_id: ClientIdentifier
    recorder: Identifier
    to: Annotated[tuple[Code, ...], Meta(min_length=1, max_length=20)]
    expires_at: Timestamp
    days_left: Count


class ConsentExpiring(CloudEvent, tag="consent.expiring", frozen=True):
    """A consent's time is over soon."""

    data: EndingConsent


class UnansweredReferral(Closed, frozen=True):
    """A referral, for its originator; `version` is that of the referral.expired with the same event id."""

    referral_id: Identifier
    originator: Party
    purpose: PurposeOfUse
    version: Count


class ReferralUnanswered(CloudEvent, tag="referral.unanswered", frozen=True):
    """Nobody answered a referral in time: told to its originator as `referral.expired`."""

    data: UnansweredReferral
