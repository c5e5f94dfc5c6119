"""What is said on the log: the one closed shape of every event (CloudEvents 1.0, structured JSON).

The structs are the schema: the boundary decodes with them, publishers encode them, JSON Schema is generated from them.
No field of them holds a caller's text about a person; that is sealed in an `Envelope` (see `services.kit.sealing`).
"""

from datetime import date, datetime
from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct

DataCategory = Literal[
    "need",
    "identity",
    "contact",
    "demographics",
    "household",
    "veteran",
    "housing_history",
    "assessment",
    "disability",
    "income",
    "documents",
    "health",
    "mental_health",
    "substance_use",
    "hiv",
    "domestic_violence",
    "justice",
    "education",
    "location",
    "notes",
]
PurposeOfUse = Literal["shelter-placement", "housing-placement", "care-coordination", "eligibility-determination"]
ReferralStatus = Literal[
    "requested",
    "accepted",
    "declined",
    "cancelled",
    "started",
    "on_hold",
    "completed",
    "failed",
    "expired",
    "entered_in_error",
]
OrganizationKind = Literal["provider", "coordinator", "funder", "auditor", "community"]
ConsentMethod = Literal["written", "electronic", "verbal"]
RevocationScope = Literal["all", "consent", "recipient", "category"]
RequestedBy = Literal["client", "guardian", "representative", "discloser"]
RevocationReason = Literal["changed-mind", "safety", "no-longer-needed", "recorded-in-error", "other"]
DeclineReason = Literal["no-capacity", "not-eligible", "client-declined", "client-unreachable", "duplicate", "other"]
DeclinedBy = Literal["client", "provider"]
ConsentEnd = Literal["expired", "entered-in-error"]

# Identifiers are opaque and bounded. The hot path checks their length only (a pattern costs 0.3 µs each);
# the APIs, which mint or check every one of them, hold them to a character set.
Identifier = Annotated[str, Meta(min_length=1, max_length=64)]
SHORTEST_CLIENT_ID, LONGEST_CLIENT_ID = 16, 64  # characters
ClientIdentifier = Annotated[str, Meta(min_length=SHORTEST_CLIENT_ID, max_length=LONGEST_CLIENT_ID)]
Code = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Base64 = Annotated[str, Meta(min_length=1, max_length=4096, pattern=r"^[A-Za-z0-9_-]+\Z")]
StaffText = Annotated[str, Meta(min_length=1, max_length=200)]  # names of organizations and of their staff
Count = Annotated[int, Meta(ge=0, lt=2**53)]
# RFC 3339 UTC; never used to decide, so the parser looks at its length only.
Timestamp = Annotated[str, Meta(min_length=20, max_length=27, extra_json_schema={"format": "date-time"})]
Instant = Annotated[datetime, Meta(tz=True)]
# msgspec holds a mapping to its keys' type; of that, its JSON Schema says nothing by itself.
ByCategory = Meta(extra_json_schema={"propertyNames": {"enum": sorted(get_args(DataCategory))}})


class Closed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """A shape that refuses fields it does not know and writes no field that has its default."""


class Party(Closed, frozen=True):
    """An organization, and where it matters the project of it that acts."""

    organization: Identifier
    project: Identifier | None = None


class Actor(Closed, frozen=True):
    """The person behind the API client: an opaque id of the organization's own, and a role."""

    id: Code
    role: Code


class Recipient(Closed, frozen=True):
    """One addressee; `reference` is random per recipient and all that a de-identified one ever learns."""

    organization: Identifier
    project: Identifier | None = None
    reference: Identifier | None = None


class Envelope(Closed, frozen=True):
    """Sealed boxes by data category, under one seal key that is wrapped to the client's public key (base64url)."""

    seq: Count
    suite: Identifier
    key_id: Identifier
    wrapped: Annotated[str, Meta(min_length=1, max_length=4096)]
    boxes: Annotated[dict[DataCategory, str], ByCategory]


class Referral(Closed, frozen=True):
    """What of a referral is outside the boxes."""

    id: Identifier
    originator: Party
    version: Count
    status: ReferralStatus


class ConsentEnded(Closed, frozen=True):
    """Which consent ended under which something had been disclosed, and how; `version`: of one that expired, which."""

    id: Identifier
    reason: ConsentEnd
    version: Count | None = None


class ReferralData(Closed, frozen=True):
    """`data` of every `referral.*` event; `recipients` always lists all of the referral's recipients.

    `consent_ended` is for referral.consent_ended.
    """

    client_id: ClientIdentifier
    publisher: Party
    recipients: Annotated[tuple[Recipient, ...], Meta(min_length=1, max_length=20)]
    purpose: PurposeOfUse
    referral: Referral
    actor: Actor | None = None
    occurred_at: Timestamp | None = None
    historical: bool = False
    call_back: Identifier | None = None
    reason_code: DeclineReason | None = None
    declined_by: DeclinedBy | None = None
    respond_by: Timestamp | None = None  # of referral.respond_soon alone
    consent_ended: ConsentEnded | None = None
    sealed: tuple[Envelope, ...] = ()


class Signed(Closed, frozen=True):
    """Data that changes what may cross. `signature`: Ed25519 over log id, type, key and all other data (base64url)."""

    order: Count
    key_id: Identifier
    signature: Base64


class Signer(Closed, frozen=True):
    """Who signed a consent, in which role, on which day (42 CFR 2.31(a)(7)-(8))."""

    role: Literal["client", "parent", "guardian", "representative"]
    on: date


class Document(Closed, frozen=True):
    """The signed paper or file, by its hash; the document itself stays with `held_by`."""

    sha256: Sha256
    held_by: Code


class Consent(Closed, frozen=True):
    """A grant, refusal or exclusion as its recorder wrote it down (elements of 42 CFR 2.31)."""

    id: Identifier
    version: Count
    to: Annotated[tuple[Code, ...], Meta(min_length=1, max_length=20)]
    valid_from: Instant
    method: ConsentMethod
    notice_version: Code
    signers: Annotated[tuple[Signer, ...], Meta(max_length=8)] = ()
    categories: tuple[DataCategory, ...] = ()
    purposes: tuple[PurposeOfUse, ...] = ()
    expires_at: Instant | None = None
    language: Code | None = None
    document: Document | None = None


class ConsentData(Signed, frozen=True):
    """`data` of consent.granted, .attested, .refused, .excluded and .expired; the publisher is the recorder."""

    client_id: ClientIdentifier
    publisher: Party
    consent: Consent
    actor: Actor | None = None


class Revocation(Closed, frozen=True):
    """Cuts, for every discloser, what was granted at a lower order in its scope."""

    id: Identifier
    scope: RevocationScope
    requested_by: RequestedBy
    consent_id: Identifier | None = None
    recipient: Code | None = None
    category: DataCategory | None = None
    reason_code: RevocationReason | None = None


class RevocationData(Signed, frozen=True):
    """`data` of consent.revoked and consent.entered_in_error; the publisher is the desk at which it was said."""

    client_id: ClientIdentifier
    publisher: Party
    revocation: Revocation
    actor: Actor | None = None


class HeldConsent(Closed, frozen=True):
    """A consent as the state keeps it: with its recorder's organization and its order."""

    order: Count
    recorder: Identifier
    consent: Consent
    attested: bool = False


class HeldRevocation(Closed, frozen=True):
    """A revocation as the state keeps it; `in_error`: the consent should never have been recorded."""

    order: Count
    revocation: Revocation
    in_error: bool = False


class ClientConsents(Closed, frozen=True):
    """Everything that says what may cross about one client: the fold of its signed records."""

    mark: Count = 0  # the highest order applied: a widening at or below it is ignored
    in_doubt: bool = False
    grants: tuple[HeldConsent, ...] = ()
    refusals: tuple[HeldConsent, ...] = ()
    exclusions: tuple[HeldConsent, ...] = ()
    revocations: tuple[HeldRevocation, ...] = ()


class ConsentRestatedData(Signed, frozen=True):
    """`data` of consent.restated: the client's complete consent state, which ends a doubt."""

    client_id: ClientIdentifier
    consents: ClientConsents
