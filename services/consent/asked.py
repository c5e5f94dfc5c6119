"""What other services ask the custodian, and what it answers."""

from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from schemas import events
from schemas.events import ConsentMethod, DataCategory, PurposeOfUse
from services.consent.bodies import Id
from services.kit.bodies import Body

LEASE_SECONDS: Final = 3

Text = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
Number = Annotated[int, Field(ge=0, lt=2**53)]
Asked = Literal["permit", "deidentified", "status"]
Given = Literal["permit", "deidentified", "status", "closed", "withheld"]
KnownAs = Literal["referral", "reference"]
Settled = Literal["started", "delivered", "failed", "not_sent"]


class Party(Body):
    """An organization, and the project of it that acts; hashable, so that parties can be compared and looked up."""

    organization: Id
    project: Id | None = None

    def plain(self) -> events.Party:
        """Return it as the policy knows it."""
        return events.Party(organization=self.organization, project=self.project)


class Recipient(Party):
    """One of the referral's recipients as in its event."""

    reference: Id | None = None


class Envelope(Body):
    """A sealed envelope without its boxes: the custodian never sees a box."""

    seq: Number
    suite: Id
    key_id: Id
    wrapped: Text
    categories: Annotated[list[DataCategory], Field(min_length=1)]

    def plain(self) -> events.Envelope:
        """Return it as sealing knows it."""
        return events.Envelope(seq=self.seq, suite=self.suite, key_id=self.key_id, wrapped=self.wrapped, boxes={})


class ReleaseRequest(Body):
    """A decision of the boundary that webhooks is about to carry out, if it still may.

    `recipient` is the referral's recipient concerned, `told` who gets it: that recipient, or the originator for what a
    recipient did. `ends`: when the consents end that the boundary relied on, by category, in milliseconds since 1970
    (UTC); a category without an end rests on one that has none.
    """

    decision_id: Annotated[str, StringConstraints(min_length=3, max_length=160)]
    attempt: Annotated[int, Field(ge=0, lt=2**31)]
    channel: Literal["webhook", "inbox"]
    event_type: Id
    client_id: Id
    referral_id: Id
    originator: Party
    publisher: Party
    purpose: PurposeOfUse
    recipients: Annotated[list[Recipient], Field(min_length=1, max_length=20)]
    recipient: Party
    told: Party
    verdict: Asked
    known_as: KnownAs | None = None
    status: Id | None = None
    categories: tuple[DataCategory, ...] = ()
    ends: Annotated[dict[DataCategory, Number], Field(default_factory=dict)]
    envelopes: Annotated[tuple[Envelope, ...], Field(max_length=64)] = ()


class BoxKey(Body):
    """The key of one category's box in the envelope `seq`: base64url of 32 bytes."""

    seq: int
    category: DataCategory
    key: str


class Description(Body):
    """A consent as its recipient may see it (42 CFR 2.32(b)): schemas.disclosures.Basis."""

    id: str
    version: int
    discloser: str
    to: list[str]
    categories: list[DataCategory]
    purposes: list[PurposeOfUse]
    valid_from: str
    method: ConsentMethod
    signed_on: str | None = None
    expires_at: str | None = None
    recorded_by: str | None = None


class ReleaseAnswer(Body):
    """What may be sent, within `lease_seconds` from before it was asked for; `withheld`: nothing, for good.

    `known_as`: how the party told knows the referral, as far as the custodian let it know. A permit comes with what
    holds now, whatever held when the boundary decided: the obligations, and the consents that these categories rest on.
    """

    release_id: str | None
    verdict: Given
    known_as: KnownAs | None
    categories: list[DataCategory]
    keys: list[BoxKey]
    obligations: list[str]
    consents: list[Description]
    lease_seconds: int = LEASE_SECONDS
    reason: str | None


class Settlement(Body):
    """What became of one release."""

    release_id: Id
    state: Settled


class Settlements(Body):
    """What became of releases."""

    settlements: Annotated[list[Settlement], Field(max_length=1000)]


class PublicKey(Body):
    """A client's public key, and what may be sealed to it for this recipient and purpose."""

    log_id: str
    key_id: str
    suite: str
    public_key: str
    sealable: list[DataCategory]
    victim_service_provider: bool


class ControlPosition(Body):
    """Per partition the offset of the next record that the custodian has not yet taken into account."""

    positions: dict[str, int]
