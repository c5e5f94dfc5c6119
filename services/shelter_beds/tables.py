"""The shelter_beds service's own tables. They hold no client; a hold may hold the id of its holder's referral."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, LargeBinary, Text, false
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from services.kit import idempotency
from services.kit.database import new_metadata
from services.shelter_beds.model import BedStatus, EndReason, HoldState

METADATA = new_metadata()
WITH_ZONE = DateTime(timezone=True)


class Table(SQLModel, registry=registry(metadata=METADATA)):
    """Base of the service's tables."""


class Unit(Table, table=True):
    """A unit; the row under whose lock its beds and holds change, so that its counts have one order.

    `test`: a test organization's. To callers of the other kind there is no such unit.
    `profile` is what its shelter says of it (`UnitProfile`). `reported_at` is when the shelter last said how
    many beds there are; from `census_as_of` on a count says something new, from `last_reset_at` on its hour counts.
    `said` is what was last put on the log of it, without `version` and `updated_at`, which count
    and time those. `wakes_at`: when it next changes by itself.
    """

    __tablename__ = "units"

    id: str = Field(primary_key=True, sa_type=Text)
    organization: str = Field(sa_type=Text, index=True)
    organization_name: str = Field(sa_type=Text)
    project: str = Field(sa_type=Text)
    project_type: int
    test: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    profile: dict[str, Any] = Field(sa_type=JSONB)
    withdrawn: bool = False
    version: int = 0
    updated_at: datetime = Field(sa_type=WITH_ZONE)
    said: dict[str, Any] | None = Field(default=None, sa_type=JSONB(none_as_null=True))
    reported_at: datetime | None = Field(default=None, sa_type=WITH_ZONE)
    census_as_of: datetime | None = Field(default=None, sa_type=WITH_ZONE)
    last_reset_at: datetime = Field(sa_type=WITH_ZONE)
    wakes_at: datetime | None = Field(default=None, sa_type=WITH_ZONE, index=True)
    created_at: datetime = Field(sa_type=WITH_ZONE)


class Bed(Table, table=True):
    """A bed. `last_order` numbers its records on `bed-holds`; `hold_id` is the hold that has it, while it is held."""

    __tablename__ = "beds"

    id: str = Field(primary_key=True, sa_type=Text)
    unit_id: str = Field(sa_type=Text, foreign_key="units.id", index=True)
    label: str = Field(sa_type=Text)
    place: int
    status: BedStatus = Field(sa_type=Text)
    offline_reason: str | None = Field(default=None, sa_type=Text)
    hold_id: str | None = Field(default=None, sa_type=Text, foreign_key="holds.id")
    last_order: int = Field(default=0, sa_type=BigInteger)


class Hold(Table, table=True):
    """A hold of one or more beds of a unit, for an organization. `ended_at` is null exactly while it lives.

    `beds` is how many were asked for; which it has, `bed_ids`, is settled at `placed_at`: at once, or when its shelter
    says yes. Until then it has none. `discreet`: the unit does not show its counts; fewer may have been given then, and
    its holder is not told which. `referral_key` tells the form again that its referral was sent with, if one was.
    """

    __tablename__ = "holds"

    id: str = Field(primary_key=True, sa_type=Text)
    unit_id: str = Field(sa_type=Text, foreign_key="units.id")
    organization: str = Field(sa_type=Text)
    holder: str = Field(sa_type=Text)
    beds: int
    discreet: bool
    bed_ids: list[str] = Field(default_factory=list, sa_type=JSONB)
    door_code: str = Field(sa_type=Text)
    referral_id: str | None = Field(default=None, sa_type=Text)
    referral_key: bytes | None = Field(default=None, sa_type=LargeBinary)
    minutes: int
    state: HoldState = Field(sa_type=Text)
    reason: EndReason | None = Field(default=None, sa_type=Text)
    extended: bool = False
    created_at: datetime = Field(sa_type=WITH_ZONE)
    placed_at: datetime | None = Field(default=None, sa_type=WITH_ZONE)
    expires_at: datetime = Field(sa_type=WITH_ZONE)
    ended_at: datetime | None = Field(default=None, sa_type=WITH_ZONE)

    @property
    def bed_count(self) -> int:
        """How many beds it has, or had; of a request, how many it asks for."""
        return len(self.bed_ids) or self.beds


class Change(Table, table=True):
    """Who changed what of a unit, and when: for its own organization. The names of fields, and their values."""

    __tablename__ = "changes"

    id: int | None = Field(default=None, sa_type=BigInteger, primary_key=True)
    unit_id: str = Field(sa_type=Text, foreign_key="units.id")
    at: datetime = Field(sa_type=WITH_ZONE)
    organization: str | None = Field(sa_type=Text)
    api_client: str | None = Field(sa_type=Text)
    actor: dict[str, Any] | None = Field(sa_type=JSONB(none_as_null=True))
    what: str = Field(sa_type=Text)
    details: dict[str, Any] = Field(sa_type=JSONB)


idempotency.add_to(METADATA)
