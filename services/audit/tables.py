"""Audit's tables: what was decided, and what became of it. Of clients they hold ids, never what is in a box."""

from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, BigInteger, DateTime, Identity, Index, Integer, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from schemas.disclosures import Verdict
from schemas.events import DataCategory
from services.kit.database import new_metadata

METADATA = new_metadata()
_MOMENT = DateTime(timezone=True)
_TEXTS = ARRAY(Text)


class Table(SQLModel, registry=registry(metadata=METADATA)):
    """Base of audit's tables."""


class Organization(Table, table=True):
    """An organization that the log names, so that a filter can be told from a mistake."""

    __tablename__ = "organizations"

    id: str = Field(primary_key=True, sa_type=Text)


class ReferralEvent(Table, table=True):
    """A referral's event until its decisions are here: by itself a denial does not say what of whose was denied."""

    __tablename__ = "undecided_events"

    partition: int = Field(primary_key=True, sa_type=Integer)
    source_offset: int = Field(primary_key=True, sa_type=BigInteger)
    event_id: str = Field(sa_type=Text)
    type: str = Field(sa_type=Text)
    client_id: str = Field(sa_type=Text)
    referral_id: str = Field(sa_type=Text)
    originator: str = Field(sa_type=Text)
    publisher: str = Field(sa_type=Text)
    publisher_project: str | None = Field(sa_type=Text)
    purpose: str = Field(sa_type=Text)


class Decision(Table, table=True):
    """One decision with its event. `recipient` is who was to be told; `number` gives the order in which they came.

    `told_verdict` and `told_categories` are what has been delivered: the custodian may have let less through, or
    nothing (None). Only that is the recipient's to know.
    """

    __tablename__ = "decisions"
    __table_args__ = (
        Index(None, "id"),
        Index(None, "publisher", "number"),
        Index(None, "recipient", "number"),
        Index(None, "client_id", "number"),
    )

    number: int | None = Field(
        default=None, primary_key=True, sa_type=BigInteger, sa_column_args=[Identity(always=True)]
    )
    id: str = Field(sa_type=Text)
    partition: int = Field(sa_type=Integer)
    source_offset: int = Field(sa_type=BigInteger)
    at: datetime = Field(sa_type=_MOMENT)
    policy_version: int
    event_id: str = Field(sa_type=Text)
    type: str = Field(sa_type=Text)
    client_id: str = Field(sa_type=Text)
    referral_id: str = Field(sa_type=Text)
    reference: str | None = Field(sa_type=Text)
    originator: str = Field(sa_type=Text)
    publisher: str = Field(sa_type=Text)
    publisher_project: str | None = Field(sa_type=Text)
    recipient: str = Field(sa_type=Text)
    recipient_project: str | None = Field(sa_type=Text)
    purpose: str = Field(sa_type=Text)
    verdict: Verdict = Field(sa_type=Text)
    categories: list[DataCategory] = Field(sa_type=_TEXTS)
    withheld: dict[DataCategory, str] = Field(sa_type=JSONB)
    reasons: list[str] = Field(sa_type=_TEXTS)
    status: str | None = Field(sa_type=Text)
    agreements: list[str] = Field(sa_type=_TEXTS)
    basis: list[dict[str, Any]] = Field(sa_type=JSONB)
    obligations: list[str] = Field(sa_type=_TEXTS)
    told_verdict: str | None = Field(default=None, sa_type=Text)
    told_categories: list[DataCategory] = Field(default_factory=list, sa_type=_TEXTS)


class ConsentInError(Table, table=True):
    """A record that says that a consent was entered in error; `at` is the log's time, once the boundary took it so."""

    __tablename__ = "consents_in_error"

    partition: int = Field(primary_key=True, sa_type=Integer)
    source_offset: int = Field(primary_key=True, sa_type=BigInteger)
    consent_id: str = Field(sa_type=Text, index=True)
    at: datetime | None = Field(default=None, sa_type=_MOMENT)


class Delivery(Table, table=True):
    """One thing that became of a release, as the topic says it; `endpoint` is empty for a reading of the inbox.

    `consents` and `obligations` are what it rested on when it was sent, which need not be its decision's.
    """

    __tablename__ = "deliveries"

    decision_id: str = Field(primary_key=True, sa_type=Text)
    endpoint: str = Field(primary_key=True, sa_type=Text)
    attempt: int = Field(primary_key=True, sa_type=Integer)
    state: str = Field(primary_key=True, sa_type=Text)
    channel: str = Field(sa_type=Text)
    verdict: str = Field(sa_type=Text)
    categories: list[DataCategory] = Field(sa_type=_TEXTS)
    at: datetime = Field(sa_type=_MOMENT)
    reason: str | None = Field(default=None, sa_type=Text)
    consents: list[str] = Field(default_factory=list, sa_type=_TEXTS)
    obligations: list[str] = Field(default_factory=list, sa_type=_TEXTS)
