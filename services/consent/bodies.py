"""What consent's API takes and answers."""

from datetime import UTC, date, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints

from schemas.events import ConsentMethod, DataCategory, PurposeOfUse, RequestedBy, RevocationReason, RevocationScope
from services.kit.bodies import Body, Code, Writing
from services.kit.problems import refusal

LOCAL = "local"
"""The identifier system that every organization has for itself."""
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)

Decision = Literal["permit", "refuse", "exclude"]
Status = Literal["active", "not-yet-valid", "expired", "revoked", "entered-in-error", "lifted", "lost"]
State = Literal["recorded", "accepted"]
Id = Annotated[str, StringConstraints(min_length=1, max_length=64)]


def _utc(moment: datetime) -> datetime:
    """One spelling for one moment: what is signed is written in UTC."""
    if not EARLIEST <= moment < LATEST:
        raise refusal("must be between the years 2000 and 2200")
    return moment.astimezone(UTC)


Moment = Annotated[AwareDatetime, AfterValidator(_utc)]


class Made(Body):
    """What a request has made; what became of it is looked up afresh, also when the request is repeated."""

    id: str


class Identifier(Body):
    """How a system knows a person; `local` is a system of the organization's own."""

    system: Code
    value: Annotated[str, StringConstraints(min_length=1, max_length=200)]


class NewClient(Writing):
    """A person to register."""

    identifiers: list[Identifier] = Field([], max_length=20)


class Client(Body):
    """A client, by the id under which all organizations that know the person know them here."""

    client_id: str


class ClientCode(Body):
    """A code that leads to its client at another organization: shown this once, kept nowhere."""

    code: Annotated[str | None, Field(description="null in the answer to a repeated Idempotency-Key")] = None
    expires_at: datetime


class NewLink(Writing):
    """A client's code as it was typed: case, hyphens and spaces do not matter, nor do O for 0 and I or L for 1."""

    code: Annotated[str, StringConstraints(min_length=1, max_length=40)]


class Signer(Body):
    """Who signed, in which role, on which day (42 CFR 2.31(a)(7) and (8))."""

    role: Literal["client", "parent", "guardian", "representative"]
    on: date


class Document(Body):
    """The signed paper or file, by its hash; the document itself stays with `held_by`."""

    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    held_by: Code


class Form(Body):
    """How the client said it, after which notice."""

    method: ConsentMethod
    notice_version: Code
    language: Code | None = None
    signers: list[Signer] = Field([], max_length=8)
    document: Document | None = None


class NewConsent(Writing):
    """A permission, refusal or exclusion to record (the elements of 42 CFR 2.31).

    An exclusion covers everything, whatever categories and purposes it names. Nothing named never means everything.
    `attested`, for permissions: the form names the parties of your agreements as disclosers, so that they may rely on
    it where a term says so.
    """

    client_id: Id
    decision: Decision
    to: Annotated[list[Code], Field(min_length=1, max_length=20)]
    categories: list[DataCategory] = Field([])
    purposes: list[PurposeOfUse] = Field([])
    valid_from: Moment | None = None
    expires_at: Moment | None = None
    attested: bool = False
    form: Form


class Renewal(Writing):
    """What is new of a permission that is renewed; without `valid_from` it counts at once."""

    valid_from: Moment | None = None
    expires_at: Moment
    form: Form


class Consent(Body):
    """A consent as recorded. `status` says what it does now, `state` whether the log has it."""

    id: str
    version: int
    client_id: str
    decision: Decision
    status: Status
    state: State
    recorded_by: str
    recorded_at: datetime
    accepted_at: datetime | None
    to: list[str]
    categories: list[DataCategory]
    purposes: list[PurposeOfUse]
    valid_from: datetime
    expires_at: datetime | None
    attested: bool
    form: Form


class Version(Body):
    """A consent as it was said once, until `replaced_at`: the basis of what crossed meanwhile names it by `version`.

    `signed_on`: the last day signed, as recipients and the accounting are shown it.
    """

    version: int
    recorded_by: str
    recorded_at: datetime
    replaced_at: Annotated[datetime | None, Field(description="When the next version took its place")]
    valid_from: datetime
    expires_at: datetime | None
    signed_on: date | None
    form: Form


class NewRevocation(Writing):
    """What to stop. Without a scope: the consent, or everything about the client."""

    scope: RevocationScope | None = None
    consent_id: Id | None = None
    recipient: Code | None = None
    category: DataCategory | None = None
    requested_by: RequestedBy
    reason_code: RevocationReason | None = None


class NewError(Writing):
    """That a consent should never have been recorded: for the wrong person, say, or with more than was agreed to."""

    requested_by: RequestedBy = "discloser"
    reason_code: RevocationReason = "recorded-in-error"


class Receipt(Body):
    """What has become of a revocation, or of an entry in error, which is one.

    Its counts are of what the caller's organization disclosed or was to receive. Of all other organizations' only
    `others` is said, since that another one knows the client is itself private: `in_doubt: 0` beside
    `others: in_doubt` says that nothing of the caller's is in doubt, and something of somebody else's is.
    """

    id: str
    client_id: str
    scope: RevocationScope
    state: Literal["recorded", "accepted", "effective"]
    recorded_at: Annotated[datetime, Field(description="From here on no key in this scope is given out")]
    accepted_at: Annotated[datetime | None, Field(description="From here on the log has it")]
    effective_at: Annotated[
        datetime | None,
        Field(
            description="Everything given out before, in this scope, to anybody, was settled or can no longer be used: "
            "no request with a client id or a box in this scope starts after it, but for what is in doubt, the "
            "caller's own (`in_doubt`) or others' (`others`)"
        ),
    ]
    withheld: Annotated[int, Field(description="The caller's own decisions in this scope that were cut since")]
    in_doubt: Annotated[
        int,
        Field(
            description="The caller's own releases given out before and not settled in time: whether their request "
            "began before `effective_at`, nobody knows. 0 says nothing of other organizations' releases"
        ),
    ]
    others: Annotated[
        Literal["done", "pending", "in_doubt"],
        Field(
            description="The same of all releases between other organizations, without a count: none is left, some are "
            "not settled yet, or some were never settled in time"
        ),
    ]
