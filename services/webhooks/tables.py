"""The tables of webhooks. Of clients they hold ids and sealed boxes, never what is in them."""

from datetime import datetime

from sqlalchemy import ARRAY, BigInteger, DateTime, LargeBinary, Text, UniqueConstraint, false
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from services.kit.database import new_metadata

METADATA = new_metadata()
WITH_ZONE = DateTime(timezone=True)


class Table(SQLModel, registry=registry(metadata=METADATA)):
    """Base of the tables of webhooks."""


class Endpoint(Table, table=True):
    """Where an organization wants to be told; `secret` is encrypted. A deleted one stays, for what was sent to it.

    `test`: the organization is a test, as its credential says.
    """

    __tablename__ = "endpoints"

    number: int = Field(sa_type=BigInteger, unique=True)
    id: str = Field(primary_key=True, sa_type=Text)
    organization: str = Field(sa_type=Text)
    test: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    url: str = Field(sa_type=Text)
    types: list[str] = Field(sa_type=ARRAY(Text))
    description: str | None = Field(default=None, sa_type=Text)
    secret: bytes = Field(sa_type=LargeBinary)
    enabled: bool = True
    disabled_reason: str | None = Field(default=None, sa_type=Text)
    failing: bool = False
    held_until: datetime | None = Field(default=None, sa_type=WITH_ZONE)
    created_at: datetime = Field(sa_type=WITH_ZONE)
    deleted_at: datetime | None = Field(default=None, sa_type=WITH_ZONE)


class Decision(Table, table=True):
    """What one organization is told: an item of its inbox, in the order of `position`; `told` is a Told.

    `inbox_due_at`: until then it stands in no inbox, because no message could be made of it, `inbox_failures` times
    in a row. As often as the schedule has attempts, and it stands in none ever again. `in_error`: it tells that its
    referral was entered in error.
    """

    __tablename__ = "decisions"

    number: int = Field(primary_key=True, sa_type=BigInteger)
    id: str = Field(sa_type=Text, unique=True)
    organization: str = Field(sa_type=Text)
    referral_id: str = Field(sa_type=Text)
    client_id: str = Field(sa_type=Text)
    verdict: str = Field(sa_type=Text)
    in_error: bool = False
    told: bytes = Field(sa_type=LargeBinary)
    inbox_attempts: int = 0
    inbox_withheld: bool = False
    position: int = Field(sa_type=BigInteger)
    inbox_failures: int = 0
    inbox_due_at: datetime | None = Field(default=None, sa_type=WITH_ZONE)
    created_at: datetime = Field(sa_type=WITH_ZONE)


class Notice(Table, table=True):
    """What is told without a decision, as the body that is sent: nothing of who a client is.

    `inbox`: the organization in whose inbox it stands, at `position` among its decisions; None for none.
    """

    __tablename__ = "notices"

    number: int = Field(primary_key=True, sa_type=BigInteger)
    id: str = Field(sa_type=Text, unique=True)
    type: str = Field(sa_type=Text)
    body: bytes = Field(sa_type=LargeBinary)
    inbox: str | None = Field(default=None, sa_type=Text)
    position: int | None = Field(default=None, sa_type=BigInteger)
    created_at: datetime = Field(sa_type=WITH_ZONE)


class UnitVersion(Table, table=True):
    """The newest version of a unit that was said, whoever was told of it: an older one is not sent any more."""

    __tablename__ = "unit_versions"

    unit_id: str = Field(primary_key=True, sa_type=Text)
    version: int = Field(sa_type=BigInteger)


class Delivery(Table, table=True):
    """A decision or a notice on its way to one endpoint; the columns from `state` on are model.Delivery.

    `unit_id` and `unit_version` are those of a notice of which a newer one takes the place. `shown_type` is the type as
    which it was last on its way: until then its endpoint's owner must not see that there is anything, since the
    custodian may still withhold it.
    """

    __tablename__ = "deliveries"
    __table_args__ = (UniqueConstraint("decision", "endpoint_id"), UniqueConstraint("notice", "endpoint_id"))

    number: int = Field(primary_key=True, sa_type=BigInteger)
    id: str = Field(sa_type=Text, unique=True)
    decision: int | None = Field(default=None, sa_type=BigInteger, foreign_key="decisions.number")
    notice: int | None = Field(default=None, sa_type=BigInteger, foreign_key="notices.number")
    endpoint_id: str = Field(sa_type=Text, foreign_key="endpoints.id")
    webhook_id: str = Field(sa_type=Text)
    unit_id: str | None = Field(default=None, sa_type=Text)
    unit_version: int | None = Field(default=None, sa_type=BigInteger)
    shown_type: str | None = Field(default=None, sa_type=Text)
    state: str = Field(sa_type=Text)
    attempt: int = 0
    failures: int = 0
    due_at: datetime = Field(sa_type=WITH_ZONE)
    lease_until: datetime | None = Field(default=None, sa_type=WITH_ZONE)


class Attempt(Table, table=True):
    """One line of the attempt log: when, and what came of it; never what was sent or answered."""

    __tablename__ = "attempts"

    delivery: int = Field(primary_key=True, sa_type=BigInteger, foreign_key="deliveries.number")
    attempt: int = Field(primary_key=True)
    began_at: datetime = Field(sa_type=WITH_ZONE)
    milliseconds: int
    status_code: int | None = None
    error: str | None = Field(default=None, sa_type=Text)
    is_shown: bool = False
