"""Consent's own tables. Nothing in them tells who a client is: no name, no identifier in clear, no open private key."""

from datetime import datetime
from typing import Literal

from sqlalchemy import ARRAY, BigInteger, DateTime, Identity, Index, Integer, LargeBinary, Text, false, text
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from services.kit import idempotency
from services.kit.database import new_metadata

METADATA = new_metadata()
_MOMENT = DateTime(timezone=True)
_TEXTS = ARRAY(Text)


class Table(SQLModel, registry=registry(metadata=METADATA)):
    """The base of consent's tables."""


class Client(Table, table=True):
    """A person whom organizations know by this id; the row under whose lock all that may cross is decided."""

    __tablename__ = "clients"

    id: str = Field(primary_key=True, sa_type=Text)
    key_id: str = Field(sa_type=Text)
    suite: str = Field(sa_type=Text)
    public_key: str = Field(sa_type=Text)
    private_key: bytes = Field(sa_type=LargeBinary)  # encrypted under the key-encryption key, for this place
    last_order: int = Field(sa_type=BigInteger)
    consents: bytes = Field(sa_type=LargeBinary)  # canonical ClientConsents: the fold of the client's records
    origin: str = Field(sa_type=Text)  # the organization that the person first came to; empty where nobody noted it
    restated_at: datetime | None = Field(sa_type=_MOMENT, default=None)  # when it was last said whole, to end a doubt


class Identifier(Table, table=True):
    """An identifier of a client in a system; `owner` is the organization whose `local` system it is, else empty."""

    __tablename__ = "identifiers"

    system: str = Field(primary_key=True, sa_type=Text)
    owner: str = Field(primary_key=True, sa_type=Text)
    value_index: bytes = Field(primary_key=True, sa_type=LargeBinary)  # HMAC; the value itself is nowhere
    client_id: str = Field(sa_type=Text, foreign_key="clients.id", index=True)


class Registration(Table, table=True):
    """That an organization knows a client: it `registered` the person, or was `given` the client id by a permit.

    `confirmed`: it registered the person because it had been given the id.
    """

    __tablename__ = "registrations"

    client_id: str = Field(primary_key=True, sa_type=Text, foreign_key="clients.id")
    organization: str = Field(primary_key=True, sa_type=Text)
    via: str = Field(sa_type=Text)
    confirmed: bool = Field(default=False, sa_column_kwargs={"server_default": false()})


class ClientCode(Table, table=True):
    """The one code that a client may carry on a card; the code itself is nowhere."""

    __tablename__ = "client_codes"

    client_id: str = Field(primary_key=True, sa_type=Text, foreign_key="clients.id")
    code_index: bytes = Field(sa_type=LargeBinary, unique=True)  # HMAC
    organization: str = Field(sa_type=Text)  # at whose desk it was made
    made_at: datetime = Field(sa_type=_MOMENT)
    expires_at: datetime = Field(sa_type=_MOMENT)


class ClientLink(Table, table=True):
    """That somebody typed a client's code at an organization, which has registered the client since."""

    __tablename__ = "client_links"

    number: int = Field(primary_key=True, sa_type=BigInteger, sa_column_args=[Identity(always=True)])
    client_id: str = Field(sa_type=Text, foreign_key="clients.id", index=True)
    organization: str = Field(sa_type=Text)
    linked_at: datetime = Field(sa_type=_MOMENT)
    actor_id: str | None = Field(sa_type=Text)
    actor_role: str | None = Field(sa_type=Text)


class CodeGuess(Table, table=True):
    """A code that an organization typed; one that was right is taken back."""

    __tablename__ = "code_guesses"
    __table_args__ = (Index(None, "organization", "guessed_at"),)

    id: str = Field(primary_key=True, sa_type=Text)
    organization: str = Field(sa_type=Text)
    guessed_at: datetime = Field(sa_type=_MOMENT)


class Consent(Table, table=True):
    """A grant, refusal or exclusion as recorded. `decision` as the API says it; `record` the canonical Consent.

    `due_at`: when something is to be said next of its end in time; see ends.
    """

    __tablename__ = "consents"
    __table_args__ = (
        Index(None, "recorder", "number"),
        Index(None, "client_id", "recorder", "number"),
        Index(None, "due_at", postgresql_where=text("due_at IS NOT NULL")),
    )

    id: str = Field(primary_key=True, sa_type=Text)
    number: int = Field(sa_type=BigInteger, sa_column_args=[Identity(always=True)])
    client_id: str = Field(sa_type=Text, foreign_key="clients.id")
    recorder: str = Field(sa_type=Text)
    decision: Literal["permit", "refuse", "exclude"] = Field(sa_type=Text)
    attested: bool
    order: int = Field(sa_type=BigInteger)
    record: bytes = Field(sa_type=LargeBinary)
    recorded_at: datetime = Field(sa_type=_MOMENT)
    accepted_at: datetime | None = Field(sa_type=_MOMENT, default=None)
    log_partition: int | None = Field(sa_type=Integer, default=None)
    log_offset: int | None = Field(sa_type=BigInteger, default=None)
    due_at: datetime | None = Field(sa_type=_MOMENT, default=None)


class EarlierVersion(Table, table=True):
    """A version of a consent whose place a renewal took, as it was recorded."""

    __tablename__ = "earlier_versions"

    consent_id: str = Field(primary_key=True, sa_type=Text, foreign_key="consents.id")
    order: int = Field(primary_key=True, sa_type=BigInteger)
    record: bytes = Field(sa_type=LargeBinary)
    recorded_at: datetime = Field(sa_type=_MOMENT)
    replaced_at: datetime = Field(sa_type=_MOMENT)


class Revocation(Table, table=True):
    """A revocation, and at which desk it was said. `record` is the canonical Revocation.

    `taken_back`: from the log, as its row was lost; what had been given out before it, nobody knows any more.
    """

    __tablename__ = "revocations"
    __table_args__ = (Index(None, "client_id", "organization", "order"),)

    id: str = Field(primary_key=True, sa_type=Text)
    client_id: str = Field(sa_type=Text, foreign_key="clients.id")
    organization: str = Field(sa_type=Text)
    consent_id: str | None = Field(sa_type=Text, default=None)  # if it is of one consent, or was said of one
    order: int = Field(sa_type=BigInteger)
    record: bytes = Field(sa_type=LargeBinary)
    recorded_at: datetime = Field(sa_type=_MOMENT)
    accepted_at: datetime | None = Field(sa_type=_MOMENT, default=None)
    log_partition: int | None = Field(sa_type=Integer, default=None)
    log_offset: int | None = Field(sa_type=BigInteger, default=None)
    taken_back: bool = Field(default=False, sa_column_kwargs={"server_default": false()})


class Release(Table, table=True):
    """One answer of the custodian: what was asked, what was given, to whom, why, and until when it may be used.

    `client_order` is the client's last order when it was given: what stands on either side of a revocation is told by
    orders, which the row's lock makes, and not by clocks. From `doubt_at` on, a release that nobody settled is in
    doubt.
    """

    __tablename__ = "releases"
    __table_args__ = (Index(None, "client_id", "referral_id"),)

    id: str = Field(primary_key=True, sa_type=Text)
    client_id: str = Field(sa_type=Text, foreign_key="clients.id")
    client_order: int = Field(sa_type=BigInteger)
    decision_id: str = Field(sa_type=Text)
    attempt: int = Field(sa_type=Integer)
    channel: str = Field(sa_type=Text)
    event_type: str = Field(sa_type=Text)
    referral_id: str = Field(sa_type=Text)
    purpose: str = Field(sa_type=Text)
    originator: str = Field(sa_type=Text)
    originator_project: str | None = Field(sa_type=Text)
    recipient: str = Field(sa_type=Text)
    recipient_project: str | None = Field(sa_type=Text)
    told: str = Field(sa_type=Text)
    asked_verdict: str = Field(sa_type=Text)
    asked_categories: list[str] = Field(sa_type=_TEXTS)
    verdict: str = Field(sa_type=Text)
    categories: list[str] = Field(sa_type=_TEXTS)
    consents: list[str] = Field(sa_type=_TEXTS)  # ids of the consents it rests on
    reason: str | None = Field(sa_type=Text)
    released_at: datetime = Field(sa_type=_MOMENT)
    doubt_at: datetime = Field(sa_type=_MOMENT)
    state: str | None = Field(sa_type=Text, default=None)  # started, delivered, failed, not_sent
    settled_at: datetime | None = Field(sa_type=_MOMENT, default=None)


IDEMPOTENCY_KEYS = idempotency.add_to(METADATA)
