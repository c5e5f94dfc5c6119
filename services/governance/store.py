"""Governance's queries."""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Final

from sqlalchemy import exists, or_, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from services.governance.model import Step, Votes
from services.governance.tables import (
    Agreement,
    Approval,
    Contact,
    Credential,
    Departure,
    IdentifierSystem,
    LogIdentity,
    Organization,
    Project,
    RecordPosition,
)
from services.kit.database import Database
from services.kit.keys import random_id
from services.kit.outbox import Outbox
from services.kit.problems import Problem

GENESIS_LOCK: Final = 7_201_865_302
"""Any constant: one process at a time begins the log."""


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


async def confidential_projects(session: AsyncSession) -> list[Project]:
    """Return the projects that are confidential, or a victim service provider's, by organization and id."""
    rows = select(Project).join(Organization, col(Organization.id) == col(Project.organization))
    protected = or_(col(Project.confidential), col(Organization.victim_service_provider))
    return list(await session.scalars(rows.where(protected).order_by(col(Project.organization), col(Project.id))))


async def test_organizations(session: AsyncSession) -> list[str]:
    """Return the organizations that are tests, by id."""
    rows = select(col(Organization.id)).where(col(Organization.test)).order_by(col(Organization.id))
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


async def check_not_mixed(session: AsyncSession, field: str, organizations: list[str]) -> None:
    """Problem 422 naming the first element of `field` that is a test where the first is real, or the reverse."""
    rows = select(col(Organization.id)).where(col(Organization.id).in_(organizations), col(Organization.test))
    tests = set(await session.scalars(rows))
    for index, each in enumerate(organizations):
        if (each in tests) != (organizations[0] in tests):
            raise Problem("test-and-real", field=f"{field}.{index}")


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


async def departures(session: AsyncSession, agreement_id: str) -> list[Departure]:
    """Return who has left an agreement, in the order in which they did."""
    rows = select(Departure).where(col(Departure.agreement) == agreement_id)
    return list(await session.scalars(rows.order_by(col(Departure.requested_at), col(Departure.organization))))


async def every_departure(session: AsyncSession) -> list[Departure]:
    """Return who has left which agreement."""
    return list(await session.scalars(select(Departure)))


def votes(agreement: Agreement, given: list[Approval], gone: list[Departure]) -> Votes:
    """Return an agreement's votes as the model counts them."""
    activation = agreement.content["activation"]
    return Votes(
        tuple(agreement.parties),
        frozenset(approval.organization for approval in given),
        frozenset(departure.organization for departure in gone),
        Decimal(str(activation.get("share") or 1)),  # as it was written: 0.6 of 5 is 3
        frozenset(activation.get("must_include", ())),
    )


async def narrowing(session: AsyncSession) -> list[Agreement]:
    """Return the agreements of which a narrowing is not yet known to be seen by the custodian."""
    leaving = select(col(Departure.agreement)).where(col(Departure.effective_at).is_(None))
    ending = col(Agreement.step).in_([Step.SUSPENDING, Step.SUPERSEDING])
    return list(await session.scalars(select(Agreement).where(or_(ending, col(Agreement.id).in_(leaving)))))


async def all_taken(session: AsyncSession, key: str) -> bool:
    """Tell whether the log has taken every record of a control key."""
    waiting = select(exists().where(col(Outbox.key) == key.encode()))
    return not (await session.scalars(waiting)).one()


async def on_every_partition(session: AsyncSession, key: str, partitions: int) -> bool:
    """Tell whether every partition has the first record of a control key; once it is so, it stays so."""
    return len(await noted_positions(session, key)) == partitions


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
