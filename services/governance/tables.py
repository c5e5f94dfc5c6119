"""Governance's tables."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, LargeBinary, Text, false
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from services.kit.database import new_metadata

METADATA = new_metadata()
WITH_ZONE = DateTime(timezone=True)


class Table(SQLModel, registry=registry(metadata=METADATA)):
    """Base of governance's tables."""


class LogIdentity(Table, table=True):
    """The id of the log that this governance writes; one row.

    `floor` is the order of the newest restatement, and `restated_at` when it was put. Whoever says anything on the log
    holds the row for sharing from before it takes an order until its commit; a restatement, alone.
    """

    __tablename__ = "log_identity"

    log_id: str = Field(primary_key=True, sa_type=Text)
    floor: int = Field(default=0, sa_type=BigInteger)
    restated_at: datetime | None = Field(default=None, sa_type=WITH_ZONE)


class Organization(Table, table=True):
    """An organization's attributes; `last_order` is the order of its newest record on the log."""

    __tablename__ = "organizations"

    id: str = Field(primary_key=True, sa_type=Text)
    name: str = Field(sa_type=Text)
    kind: str = Field(sa_type=Text)
    victim_service_provider: bool
    hipaa_covered: bool
    test: bool
    last_order: int = Field(sa_type=BigInteger)


class Project(Table, table=True):
    """A project of an organization."""

    __tablename__ = "projects"

    organization: str = Field(primary_key=True, sa_type=Text, foreign_key="organizations.id")
    id: str = Field(primary_key=True, sa_type=Text)
    name: str = Field(sa_type=Text)
    project_type: int
    part2_program: bool
    hmis_participation: str = Field(sa_type=Text)
    confidential: bool


class Contact(Table, table=True):
    """A member of an organization's staff to call back."""

    __tablename__ = "contacts"

    organization: str = Field(primary_key=True, sa_type=Text, foreign_key="organizations.id")
    id: str = Field(primary_key=True, sa_type=Text)
    name: str = Field(sa_type=Text)
    phone: str | None = Field(sa_type=Text)
    email: str | None = Field(sa_type=Text)
    languages: list[str] = Field(sa_type=ARRAY(Text))


class Credential(Table, table=True):
    """An API client of an organization; of its secret only the SHA-256 (it has 256 random bits).

    `unconfirmed`: the database was restored since; it may have been revoked, and counts once the administrator says so.
    """

    __tablename__ = "credentials"

    client_id: str = Field(primary_key=True, sa_type=Text)
    organization: str = Field(sa_type=Text, foreign_key="organizations.id", index=True)
    name: str = Field(sa_type=Text)
    scopes: list[str] = Field(sa_type=ARRAY(Text))
    secret_hash: bytes = Field(sa_type=LargeBinary)
    created_at: datetime = Field(sa_type=WITH_ZONE)
    revoked_at: datetime | None = Field(default=None, sa_type=WITH_ZONE)
    unconfirmed: bool = Field(default=False, sa_column_kwargs={"server_default": false()})


class IdentifierSystem(Table, table=True):
    """A client index, such as an HMIS, that its organizations lawfully share."""

    __tablename__ = "identifier_systems"

    id: str = Field(primary_key=True, sa_type=Text)
    organizations: list[str] = Field(sa_type=ARRAY(Text))


class Agreement(Table, table=True):
    """A data-sharing agreement; `content` holds terms and activation as they were proposed."""

    __tablename__ = "agreements"

    id: str = Field(primary_key=True, sa_type=Text)
    version: int
    title: str = Field(sa_type=Text)
    parties: list[str] = Field(sa_type=ARRAY(Text))
    content: dict[str, Any] = Field(sa_type=JSONB)
    step: str = Field(sa_type=Text)
    created_at: datetime = Field(sa_type=WITH_ZONE)
    decided_at: datetime | None = Field(default=None, sa_type=WITH_ZONE)
    suspension_requested_at: datetime | None = Field(default=None, sa_type=WITH_ZONE)
    suspended_at: datetime | None = Field(default=None, sa_type=WITH_ZONE)
    last_order: int = Field(default=0, sa_type=BigInteger)
    supersedes: str | None = Field(default=None, sa_type=Text, foreign_key="agreements.id")
    superseded_by: str | None = Field(default=None, sa_type=Text, foreign_key="agreements.id")
    superseded_at: datetime | None = Field(default=None, sa_type=WITH_ZONE)


class Approval(Table, table=True):
    """A party's approval of an agreement, by its own credential."""

    __tablename__ = "approvals"

    agreement: str = Field(primary_key=True, sa_type=Text, foreign_key="agreements.id")
    organization: str = Field(primary_key=True, sa_type=Text, foreign_key="organizations.id")
    client_id: str = Field(sa_type=Text)
    actor: dict[str, str] | None = Field(default=None, sa_type=JSONB(none_as_null=True))
    approved_at: datetime = Field(sa_type=WITH_ZONE)


class Departure(Table, table=True):
    """That a party has left an agreement, by its own credential; `effective_at`: nobody decides otherwise any more."""

    __tablename__ = "departures"

    agreement: str = Field(primary_key=True, sa_type=Text, foreign_key="agreements.id")
    organization: str = Field(primary_key=True, sa_type=Text, foreign_key="organizations.id")
    client_id: str = Field(sa_type=Text)
    actor: dict[str, str] | None = Field(default=None, sa_type=JSONB(none_as_null=True))
    requested_at: datetime = Field(sa_type=WITH_ZONE)
    effective_at: datetime | None = Field(default=None, sa_type=WITH_ZONE)


class RecordPosition(Table, table=True):
    """Where the newest record of a control key stands: the log has it in `partition` below offset `next`."""

    __tablename__ = "record_positions"

    key: str = Field(primary_key=True, sa_type=Text)
    partition: int = Field(primary_key=True)
    next: int = Field(sa_type=BigInteger)
