"""Governance's tables and queries."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, DateTime, LargeBinary, Text, exists, select, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel, col

from services.governance.model import Step, Votes
from services.kit.database import Database, new_metadata
from services.kit.keys import random_id
from services.kit.outbox import Outbox
from services.kit.problems import Problem

METADATA = new_metadata()
WITH_ZONE = DateTime(timezone=True)
GENESIS_LOCK: Final = 7_201_865_302
"""Any constant: one process at a time begins the log."""


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
    """An API client of an organization; of its secret only the SHA-256 (it has 256 random bits)."""

    __tablename__ = "credentials"

    client_id: str = Field(primary_key=True, sa_type=Text)
    organization: str = Field(sa_type=Text, foreign_key="organizations.id", index=True)
    name: str = Field(sa_type=Text)
    scopes: list[str] = Field(sa_type=ARRAY(Text))
    secret_hash: bytes = Field(sa_type=LargeBinary)
    created_at: datetime = Field(sa_type=WITH_ZONE)
    revoked_at: datetime | None = Field(default=None, sa_type=WITH_ZONE)


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


class Approval(Table, table=True):
    """A party's approval of an agreement, by its own credential."""

    __tablename__ = "approvals"

    agreement: str = Field(primary_key=True, sa_type=Text, foreign_key="agreements.id")
    organization: str = Field(primary_key=True, sa_type=Text, foreign_key="organizations.id")
    client_id: str = Field(sa_type=Text)
    actor: dict[str, str] | None = Field(default=None, sa_type=JSONB(none_as_null=True))
    approved_at: datetime = Field(sa_type=WITH_ZONE)


class RecordPosition(Table, table=True):
    """Where the newest record of a control key stands: the log has it in `partition` below offset `next`."""

    __tablename__ = "record_positions"

    key: str = Field(primary_key=True, sa_type=Text)
    partition: int = Field(primary_key=True)
    next: int = Field(sa_type=BigInteger)


async def begun_log(database: Database, begin: Callable[[str], Awaitable[None]]) -> str:
    """Return the id of our log after `begin(log id)`, which runs in one process at a time.

    The id is committed before anything is written under it, so that a beginning cut short is completed, not repeated.
    """
    async with database.transaction() as session:
        await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": GENESIS_LOCK})
        log_id = (await session.scalars(select(col(LogIdentity.log_id)))).first() or random_id()
        await session.execute(insert(LogIdentity).values(log_id=log_id, floor=0).on_conflict_do_nothing())
    async with database.transaction() as session:
        await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": GENESIS_LOCK})
        await begin(log_id)
    return log_id


async def floor(session: AsyncSession) -> int:
    """Return the order above which every order must be, until the caller's commit: no restatement comes between."""
    query = select(col(LogIdentity.floor)).with_for_update(read=True)
    return (await session.scalars(query)).first() or 0


async def locked_log(session: AsyncSession) -> LogIdentity:
    """Return the log's row, with nobody else about to say anything on it; waits for those who are."""
    return (await session.scalars(select(LogIdentity).with_for_update())).one()


async def organizations(session: AsyncSession) -> list[Organization]:
    """Return every organization by id."""
    return list(await session.scalars(select(Organization).order_by(col(Organization.id))))


async def agreements(session: AsyncSession) -> list[Agreement]:
    """Return every agreement by id, drafts too."""
    return list(await session.scalars(select(Agreement).order_by(col(Agreement.id))))


async def organization(session: AsyncSession, organization_id: str, *, lock: bool = False) -> Organization:
    """Return an organization, locked for a change if asked; Problem 404."""
    found = await session.get(Organization, organization_id, with_for_update=lock or None)
    if found is None:
        raise Problem("not-found")
    return found


async def project(session: AsyncSession, organization_id: str, project_id: str) -> Project:
    """Return a project; Problem 404."""
    found = await session.get(Project, (organization_id, project_id))
    if found is None:
        raise Problem("not-found")
    return found


async def projects(session: AsyncSession, organization_id: str) -> list[Project]:
    """Return an organization's projects by id."""
    rows = select(Project).where(col(Project.organization) == organization_id).order_by(col(Project.id))
    return list(await session.scalars(rows))


async def contacts(session: AsyncSession, organization_id: str) -> list[Contact]:
    """Return an organization's contacts by id."""
    rows = select(Contact).where(col(Contact.organization) == organization_id).order_by(col(Contact.id))
    return list(await session.scalars(rows))


async def check_known(session: AsyncSession, field: str, organizations: list[str]) -> None:
    """Problem 422 naming the first element of `field` that is no organization."""
    rows = select(col(Organization.id)).where(col(Organization.id).in_(organizations))
    known = set(await session.scalars(rows))
    for index, each in enumerate(organizations):
        if each not in known:
            raise Problem("unknown-organization", field=f"{field}.{index}")


async def check_no_victim_service_provider(session: AsyncSession, field: str, organizations: list[str]) -> None:
    """Problem 422 naming the first element of `field` that is a victim service provider."""
    rows = select(col(Organization.id)).where(
        col(Organization.id).in_(organizations), col(Organization.victim_service_provider)
    )
    found = set(await session.scalars(rows))
    for index, each in enumerate(organizations):
        if each in found:
            raise Problem("victim-service-provider", field=f"{field}.{index}")


async def shares_an_index(session: AsyncSession, organization_id: str) -> bool:
    """Tell whether an organization takes part in any identifier system."""
    rows = select(col(IdentifierSystem.id)).where(col(IdentifierSystem.organizations).contains([organization_id]))
    return (await session.scalars(rows.limit(1))).first() is not None


async def credential(session: AsyncSession, client_id: str) -> Credential | None:
    """Return a credential that is not revoked."""
    found = await session.get(Credential, client_id)
    return found if found is not None and found.revoked_at is None else None


async def agreement(session: AsyncSession, agreement_id: str, party: str | None, *, lock: bool = False) -> Agreement:
    """Return an agreement of `party` (None: of anyone), locked if asked; Problem 404, also for others' agreements."""
    found = await session.get(Agreement, agreement_id, with_for_update=lock or None)
    if found is None or (party is not None and party not in found.parties):
        raise Problem("not-found")
    return found


async def approvals(session: AsyncSession, agreement_id: str) -> list[Approval]:
    """Return an agreement's approvals in the order they were given."""
    rows = select(Approval).where(col(Approval.agreement) == agreement_id)
    return list(await session.scalars(rows.order_by(col(Approval.approved_at), col(Approval.organization))))


def votes(agreement: Agreement, given: list[Approval]) -> Votes:
    """Return an agreement's votes as the model counts them."""
    return Votes(tuple(agreement.parties), frozenset(approval.organization for approval in given))


async def suspending(session: AsyncSession) -> list[Agreement]:
    """Return the agreements whose suspension is not yet known to be seen by the custodian."""
    return list(await session.scalars(select(Agreement).where(col(Agreement.step) == Step.SUSPENDING)))


async def on_every_partition(session: AsyncSession, key: str) -> bool:
    """Tell whether the log has taken every record of a control key."""
    waiting = select(exists().where(col(Outbox.aggregate) == key))
    return not (await session.scalars(waiting)).one()


async def note_position(session: AsyncSession, key: str, partition: int, following: int) -> None:
    """Note that the newest record of a control key stands in `partition` just below offset `following`."""
    row = {"key": key, "partition": partition, "next": following}
    statement = insert(RecordPosition).values(row)
    await session.execute(
        statement.on_conflict_do_update(index_elements=["key", "partition"], set_={"next": statement.excluded.next})
    )


async def noted_positions(session: AsyncSession, key: str) -> dict[int, int]:
    """Return partition -> the offset after the newest record of a control key."""
    rows = select(col(RecordPosition.partition), col(RecordPosition.next)).where(col(RecordPosition.key) == key)
    return {row.partition: row.next for row in await session.execute(rows)}
