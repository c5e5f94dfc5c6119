"""What governance's API takes and answers."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from schemas.codes import ProjectType
from schemas.control import Reliance
from schemas.events import DataCategory, OrganizationKind, PurposeOfUse
from schemas.fields import Email, LanguageTag, Phone
from services.governance.model import AgreementStatus
from services.kit.auth import Scope
from services.kit.bodies import Body, Code, Writing
from services.kit.problems import refusal

Name = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
    ),
]
Participation = Literal["none", "hmis", "comparable_database"]
Organizations = Annotated[list[Code], Field(min_length=1, max_length=200)]


class NewOrganization(Writing):
    """An organization to register. A `test` one shares nothing with real ones, and stays a test for ever."""

    id: Code
    name: Name
    kind: OrganizationKind
    victim_service_provider: bool
    hipaa_covered: bool
    test: bool = False


class OrganizationChange(Writing):
    """What is to change of an organization; `test` never does."""

    name: Name | None = None
    kind: OrganizationKind | None = None
    victim_service_provider: bool | None = None
    hipaa_covered: bool | None = None


class NewProject(Writing):
    """A project to register (HUD 2.02, 2.08)."""

    id: Code
    name: Name
    project_type: ProjectType
    part2_program: bool
    hmis_participation: Participation
    confidential: bool = False


class Project(Body):
    """A project."""

    id: str
    name: str
    project_type: int
    part2_program: bool
    hmis_participation: Participation
    confidential: bool


class ProjectChange(Writing):
    """What is to change of a project. Its organization may make it confidential; no longer so, the administrator."""

    confidential: bool


class ProjectName(Body):
    """Which project of which organization."""

    organization: str
    project: str


class ConfidentialProjects(Body):
    """Every project whose place nobody is to find: it is confidential, or a victim service provider's.

    And every organization that is a test: what is its own, only tests are to find.
    """

    projects: list[ProjectName]
    test_organizations: list[str]


class RegisteredProject(Body):
    """What another service must know of a project."""

    organization_name: str
    victim_service_provider: bool
    test: bool
    project_type: int
    confidential: bool


class NewContact(Writing):
    """A member of staff to call back; never a client."""

    id: Code
    name: Name
    phone: Phone | None = None
    email: Email | None = None
    languages: list[LanguageTag] = Field([], max_length=20)


class Contact(Body):
    """A contact."""

    id: str
    name: str
    phone: str | None
    email: str | None
    languages: list[str]


class Organization(Body):
    """An organization; `contacts` only for itself and the administrator."""

    id: str
    name: str
    kind: OrganizationKind
    victim_service_provider: bool
    hipaa_covered: bool
    test: bool
    projects: list[Project] = Field([])
    contacts: list[Contact] | None = None


class NewCredential(Writing):
    """An API client to make for an organization."""

    name: Name
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(Scope))]

    @model_validator(mode="after")
    def _never_admin(self) -> Self:
        if Scope.ADMIN in self.scopes:
            raise refusal("must not give an organization the scope admin")
        return self


class Credential(Body):
    """An API client; its secret is shown once, when it is made."""

    client_id: str
    client_secret: str | None = None
    name: str
    scopes: list[Scope]


class Token(Body):
    """An access token (RFC 6749 section 5.1); `expires_in` in seconds."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - its type
    expires_in: int


class NewIdentifierSystem(Writing):
    """A client index that organizations lawfully share."""

    id: Code
    organizations: Organizations

    @model_validator(mode="after")
    def _not_local(self) -> Self:
        if self.id == "local":
            raise refusal("must not be local: that is every organization's own system")
        return self


class IdentifierSystem(Body):
    """A client index and who shares it."""

    id: str
    organizations: list[str]


class Activation(Body):
    """How an agreement is decided: by all parties, or by a share of them (0.6 of five is three) with some among them.

    Whoever has not approved is in it with nothing: no data of theirs is shared, and none shared with them.
    """

    rule: Literal["all", "share"] = "all"
    share: Annotated[float | None, Field(strict=True, gt=0, le=1)] = None
    must_include: list[Code] = Field(default=[], max_length=200)


class Term(Body):
    """Who may share what with whom, for what.

    `reliance`: on whose consents; with `any_party` also on what another party in force attested. A victim service
    provider and a Part 2 project rely on nobody, and nobody on them.
    """

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    from_: Annotated[Organizations, Field(alias="from")]
    to: Organizations
    purposes: Annotated[list[PurposeOfUse], Field(min_length=1)]
    categories: list[DataCategory] = Field([])
    deidentified: bool = False
    reliance: Reliance = "own"

    @model_validator(mode="after")
    def _shares_something(self) -> Self:
        if not self.categories and not self.deidentified:
            raise refusal("must name categories or be deidentified")
        return self


class NewAgreement(Writing):
    """A data-sharing agreement to propose."""

    title: Name
    parties: Annotated[list[Code], Field(min_length=2, max_length=200)]
    activation: Activation = Activation()
    terms: Annotated[list[Term], Field(min_length=1, max_length=100)]
    supersedes: Annotated[Code | None, Field(description="An agreement in force, which ends as this one begins")] = None


class Decision(Writing):
    """A party's word; the body may be left out."""


class Approval(Body):
    """That a party has approved, and when."""

    organization: str
    approved_at: datetime


class Departure(Body):
    """That a party has left: from `effective_at` on nobody decides otherwise. What it had shared before stays told."""

    organization: str
    requested_at: datetime
    effective_at: datetime | None


class Agreement(Body):
    """A data-sharing agreement and where it stands.

    `in_force`: the parties whose data it lets cross, to each other. `spreading`: something said of it is still on its
    way to a partition of the log; until it is there, what widens does not count and what narrows does.
    """

    id: str
    version: int
    title: str
    status: AgreementStatus
    parties: list[str]
    activation: Activation
    terms: list[Term]
    approvals: list[Approval]
    departures: list[Departure]
    in_force: list[str]
    spreading: bool
    supersedes: str | None
    superseded_by: str | None
    created_at: datetime
    decided_at: datetime | None
    suspension_requested_at: datetime | None
    suspended_at: datetime | None
    superseded_at: datetime | None
