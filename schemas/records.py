"""What stands on the topics: client events (CloudEvents), the boundary's disclosures, and deliveries."""

from typing import Literal

from schemas.control import (
    AgreementData,
    AgreementLeftData,
    AgreementSuspendedData,
    ControlRestatedData,
    GenesisData,
    KeyData,
    KeyRetiredData,
    OrganizationData,
    PolicyData,
)
from schemas.events import Closed, ConsentData, ConsentRestatedData, Identifier, ReferralData, RevocationData, Timestamp


class CloudEvent(Closed, tag_field="type", frozen=True):
    """CloudEvents 1.0 context; no attribute of it tells who the client is."""

    id: Identifier
    source: Identifier
    time: Timestamp
    specversion: Literal["1.0"]


class ReferralEvent(CloudEvent, frozen=True):
    """An event of one referral for one client; unsigned, for a forged one can open no box."""

    data: ReferralData


class SignedRecord(CloudEvent, frozen=True):
    """A record that changes what may cross; counts only with the signature of the service that owns its type."""


class ConsentRecord(SignedRecord, frozen=True):
    """About one client's consents; its key is the client's id."""


class ControlRecord(SignedRecord, frozen=True):
    """About organizations, agreements, keys or the policy; in every partition under the key `control/<id>`."""


class BoxedEvent(ReferralEvent, frozen=True):
    """Its originator's, to carry boxes; every other one tells of the lifecycle."""


class ReferralRequested(BoxedEvent, tag="referral.requested", frozen=True):
    """The originator asks; the only event that may cross de-identified."""


class ReferralUpdated(BoxedEvent, tag="referral.updated", frozen=True):
    """All envelopes again: new boxes, or boxes that were withheld before."""


class ReferralAccepted(ReferralEvent, tag="referral.accepted", frozen=True):
    """A recipient takes the client."""


class ReferralDeclined(ReferralEvent, tag="referral.declined", frozen=True):
    """A recipient does not."""


class ReferralCancelled(ReferralEvent, tag="referral.cancelled", frozen=True):
    """The originator takes it back, or a recipient stops after accepting."""


class ReferralStarted(ReferralEvent, tag="referral.started", frozen=True):
    """Service began."""


class ReferralOnHold(ReferralEvent, tag="referral.on_hold", frozen=True):
    """Service paused."""


class ReferralCompleted(ReferralEvent, tag="referral.completed", frozen=True):
    """Service ended as intended."""


class ReferralFailed(ReferralEvent, tag="referral.failed", frozen=True):
    """Service ended otherwise."""


class ReferralExpired(ReferralEvent, tag="referral.expired", frozen=True):
    """Nobody answered in time."""


class ReferralEnteredInError(ReferralEvent, tag="referral.entered_in_error", frozen=True):
    """It should never have been made; told for each client that the recipient may know it to be about."""


class ReferralRespondSoon(ReferralEvent, tag="referral.respond_soon", frozen=True):
    """Nobody has answered, and the time to do so is nearly over: still requested."""


class ReferralConsentEnded(ReferralEvent, tag="referral.consent_ended", frozen=True):
    """A consent ended under which something of this client was disclosed."""


class ConsentGranted(ConsentRecord, tag="consent.granted", frozen=True):
    """Widens: counts only above the client's mark."""

    data: ConsentData


class ConsentAttested(ConsentGranted, tag="consent.attested", frozen=True):
    """A grant whose form names the parties as disclosers: where a term says so, they may rely on it."""


class ConsentRefused(ConsentRecord, tag="consent.refused", frozen=True):
    """Narrows its recorder's earlier grants for the same recipient, purpose and category."""

    data: ConsentData


class ConsentExcluded(ConsentRecord, tag="consent.excluded", frozen=True):
    """Narrows for all publishers: nothing at all goes to that recipient."""

    data: ConsentData


class ConsentRevoked(ConsentRecord, tag="consent.revoked", frozen=True):
    """Narrows for all disclosers."""

    data: RevocationData


class ConsentEnteredInError(ConsentRevoked, tag="consent.entered_in_error", frozen=True):
    """A revocation, for ever and of every version, of a consent that should never have been recorded."""


class ConsentExpired(ConsentRecord, tag="consent.expired", frozen=True):
    """A notice that a consent's time is over, which it is by itself: it changes nothing."""

    data: ConsentData


class ConsentRestated(ConsentRecord, tag="consent.restated", frozen=True):
    """Replaces the client's consent state and ends a doubt."""

    data: ConsentRestatedData


class LogGenesis(ControlRecord, tag="log.genesis", frozen=True):
    """Offset 0 of each partition: whose log this is."""

    data: GenesisData


class KeyAdded(ControlRecord, tag="key.added", frozen=True):
    """A signing key counts from here on."""

    data: KeyData


class KeyRetired(ControlRecord, tag="key.retired", frozen=True):
    """A signing key counts no more, whatever its records' order."""

    data: KeyRetiredData


class OrganizationChanged(ControlRecord, tag="organization.changed", frozen=True):
    """An organization's attributes, complete."""

    data: OrganizationData


class AgreementActivated(ControlRecord, tag="agreement.activated", frozen=True):
    """Widens: an agreement is in force, for the parties named. Narrows: the one it supersedes never is again."""

    data: AgreementData


class AgreementSuspended(ControlRecord, tag="agreement.suspended", frozen=True):
    """Narrows: it is not, and never again."""

    data: AgreementSuspendedData


class AgreementLeft(ControlRecord, tag="agreement.left", frozen=True):
    """Narrows: it is not for this party, and never again; for the others it stays."""

    data: AgreementLeftData


class PolicyActivated(ControlRecord, tag="policy.activated", frozen=True):
    """Which policy version decides from the next record on."""

    data: PolicyData


class ControlRestated(ControlRecord, tag="control.restated", frozen=True):
    """Replaces the control state and ends a doubt."""

    data: ControlRestatedData


ConsentEvent = (
    ConsentGranted
    | ConsentAttested
    | ConsentRefused
    | ConsentExcluded
    | ConsentRevoked
    | ConsentEnteredInError
    | ConsentExpired
    | ConsentRestated
)
ControlEvent = (
    LogGenesis
    | KeyAdded
    | KeyRetired
    | OrganizationChanged
    | AgreementActivated
    | AgreementSuspended
    | AgreementLeft
    | PolicyActivated
    | ControlRestated
)
SignedEvent = ConsentEvent | ControlEvent
ReferralEvents = (
    ReferralRequested
    | ReferralUpdated
    | ReferralAccepted
    | ReferralDeclined
    | ReferralCancelled
    | ReferralStarted
    | ReferralOnHold
    | ReferralCompleted
    | ReferralFailed
    | ReferralExpired
    | ReferralRespondSoon
    | ReferralEnteredInError
    | ReferralConsentEnded
)
Event = ReferralEvents | SignedEvent

# Named by design, not yet on the log; until a policy version knows them they are `unknown-type`, and deny.
RESERVED_TYPES = (
    "client.merged",
    "client.erased",
    "emergency.access",
    "time.corrected",
)
