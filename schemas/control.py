"""What control records say: organizations, agreements, keys, and whose log this is."""

from typing import Annotated, Literal

from msgspec import Meta, field

from schemas.events import Base64, Closed, Code, Count, DataCategory, OrganizationKind, PurposeOfUse, Signed, StaffText

Reliance = Literal["own", "any_party"]


class Contact(Closed, frozen=True):
    """A registered member of staff to call back; never a client."""

    id: Code
    name: StaffText
    phone: StaffText | None = None
    email: StaffText | None = None
    languages: tuple[Code, ...] = ()


class Project(Closed, frozen=True):
    """The attributes of a project that its legal regime depends on (HUD 2.02, 2.08; 42 CFR 2.11 "program")."""

    id: Code
    name: StaffText
    project_type: Annotated[int, Meta(ge=0, le=14)]
    part2_program: bool
    hmis_participation: Literal["none", "hmis", "comparable_database"]
    confidential: bool = False


class Organization(Closed, frozen=True):
    """An organization's complete attributes: each record replaces the one before."""

    id: Code
    name: StaffText
    kind: OrganizationKind
    victim_service_provider: bool
    hipaa_covered: bool
    test: bool = False
    projects: tuple[Project, ...] = ()
    contacts: tuple[Contact, ...] = ()


class OrganizationData(Signed, frozen=True):
    """`data` of organization.changed."""

    organization: Organization


class Term(Closed, frozen=True):
    """Who may share what with whom, for what; `deidentified` lets the need alone cross without a consent.

    `reliance`: on whose grant; `any_party`: also on an attested one of another party of the agreement.
    """

    from_: Annotated[tuple[Code, ...], Meta(min_length=1)] = field(name="from")
    to: Annotated[tuple[Code, ...], Meta(min_length=1)]
    purposes: Annotated[tuple[PurposeOfUse, ...], Meta(min_length=1)]
    categories: tuple[DataCategory, ...] = ()
    deidentified: bool = False
    reliance: Reliance = "own"


class Agreement(Closed, frozen=True):
    """A data-sharing agreement in force: its parties and terms."""

    id: Code
    version: Count
    parties: Annotated[tuple[Code, ...], Meta(min_length=2)]
    terms: Annotated[tuple[Term, ...], Meta(min_length=1)]


class AgreementData(Signed, frozen=True):
    """`data` of agreement.activated; takes the agreement that it supersedes out of force, for ever, in one step."""

    agreement: Agreement
    supersedes: Code | None = None


class AgreementSuspendedData(Signed, frozen=True):
    """`data` of agreement.suspended; for ever, whatever its order."""

    agreement_id: Code


class AgreementLeftData(Signed, frozen=True):
    """`data` of agreement.left; for ever, whatever its order."""

    agreement_id: Code
    organization: Code


class PolicyData(Signed, frozen=True):
    """`data` of policy.activated: the version of parse, fold, decide and canonical bytes from the next record on."""

    policy_version: Count


class GenesisData(Signed, frozen=True):
    """`data` of log.genesis, the record at offset 0 of each partition, signed by the root key."""

    log_id: Code
    partitions: Count
    partition: Count
    root_public_key: Base64
    policy_version: Count


class SigningKey(Closed, frozen=True):
    """A service's Ed25519 public key (base64url) and the event types it may sign, as prefixes like `consent.`."""

    id: Code
    public_key: Base64
    owner: Code
    types: Annotated[tuple[Annotated[str, Meta(pattern=r"^[a-z]+\.\Z")], ...], Meta(min_length=1)]


class KeyData(Signed, frozen=True):
    """`data` of key.added."""

    key: SigningKey


class KeyRetiredData(Signed, frozen=True):
    """`data` of key.retired."""

    retired_key_id: Code


class ControlRestatedData(Signed, frozen=True):
    """`data` of control.restated: the complete control state, which ends a doubt about it."""

    policy_version: Count
    organizations: tuple[Organization, ...] = ()
    agreements: tuple[Agreement, ...] = ()
    keys: tuple[SigningKey, ...] = ()
