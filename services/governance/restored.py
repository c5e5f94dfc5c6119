"""Makes a restored database fit to be governed from: it takes back from the log what narrowed, and trusts no secret."""

from collections.abc import Sequence
from typing import Final

from pydantic import SecretStr
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from policy.control import Control
from schemas.control import Organization
from services.governance import directory, records, restating, store, tables
from services.governance.model import Step
from services.kit import logs
from services.kit.connecting import Kafka
from services.kit.control import ControlView
from services.kit.database import Database, now
from services.kit.problems import Problem
from services.kit.restored import alone

UNKNOWN: Final = "unknown"
"""By which credential a party left: the log does not say."""
_NOT_ENDED: Final = frozenset({Step.DRAFT, Step.DECIDED})


async def declared(kafka: Kafka, url: SecretStr) -> str:  # noqa: ARG001 - it reads the log when it starts
    """Do what follows from a restored database whatever the log says; return what to tell its operator."""
    database = Database(url)
    try:
        await database.migrate("governance")
        async with database.transaction() as session:
            await alone(session, "governance")
            distrusted = await _distrust(session)
            names = [f"{row.organization} {row.client_id} {row.name}" for row in distrusted]
    finally:
        await database.close()
    told = ["No approval of a draft counts any more. No credential does until the administrator confirms it:"]
    return "\n".join([*told, *names, "Start governance now."])


async def take_back(database: Database, view: ControlView) -> None:
    """Take back what narrows, and no permission, where the log has more than the tables; for before anything is served.

    What the log permits and the tables do not is ended there: an agreement for ever, by its id, so that no newer backup
    brings it back; all else by a restatement. Where that does not fit, the tables stay behind: each start says so.
    """
    async with database.transaction() as session:
        log = await store.locked_log(session)
        said, controls = await restating.said(session, log), view.by_partition()
        if not any(said.is_behind(one) for one in controls):
            return
        logs.get().error("the tables were behind the log: what narrowed is taken back from it")
        await _organizations(session, said, controls)
        await _agreements(session, controls, view.positions)
        await _end_lost(session, controls)
        distrusted = [row.client_id for row in await _distrust(session)]
        logs.get().error("no credential counts until the administrator confirms it", credentials=distrusted)
        try:
            async with session.begin_nested():
                await _catch_up(session, log, controls)
                await restating.restate(session, log, controls)
        except Problem:
            logs.get().error("what was lost stays on the log: the complete state does not fit one record")


async def _distrust(session: AsyncSession) -> list[tables.Credential]:
    """Let no credential count until it is confirmed, and no approval of a draft; return which credentials.

    Who has left a draft since, or approved by a credential that was taken away, is on no log.
    """
    drafts = select(col(tables.Agreement.id)).where(col(tables.Agreement.step) == Step.DRAFT)
    await session.execute(delete(tables.Approval).where(col(tables.Approval.agreement).in_(drafts)))
    kept = col(tables.Credential.revoked_at).is_(None)
    await session.execute(update(tables.Credential).where(kept).values(unconfirmed=True))
    rows = await session.scalars(select(tables.Credential).where(kept).order_by(col(tables.Credential.organization)))
    return list(rows)


async def _organizations(session: AsyncSession, said: restating.Said, controls: Sequence[Control]) -> None:
    """Let organizations be what their newest records say: attributes narrow too, and both deciders go by the log."""
    newest: dict[str, tuple[int, Organization]] = {}
    for control in controls:
        for one in control.organizations.values():
            found = control.marks.get(f"organization/{one.id}", control.floor), one
            newest[one.id] = max(newest.get(one.id, found), found, key=lambda each: each[0])
    for id_, (order, one) in newest.items():
        if order > max(said.orders.get(f"organization/{id_}", 0), said.floor):
            await directory.take_back(session, one, order)


async def _agreements(session: AsyncSession, controls: Sequence[Control], positions: Sequence[int]) -> None:
    """End what the log has ended, and let go who has left; it is said to be done once the custodian has read as far."""
    rows = {row.id: row for row in await store.agreements(session)}
    moment, narrowed = await now(session), set[str]()
    for id_ in frozenset[str]().union(*(one.ended for one in controls)) & rows.keys():
        if Step(rows[id_].step) in _NOT_ENDED:
            rows[id_].step, rows[id_].suspension_requested_at = Step.SUSPENDING, moment
            narrowed.add(id_)
    known = {(one.agreement, one.organization) for one in await store.every_departure(session)}
    for id_, party in frozenset[tuple[str, str]]().union(*(one.left for one in controls)) - known:
        if id_ in rows:
            session.add(tables.Departure(agreement=id_, organization=party, client_id=UNKNOWN, requested_at=moment))
            narrowed.add(id_)
    for id_ in narrowed:
        for partition, following in enumerate(positions):
            await store.note_position(session, records.agreement_key(id_), partition, following)


async def _end_lost(session: AsyncSession, controls: Sequence[Control]) -> None:
    """Suspend what the log has in force and the tables do not have, or have as a draft."""
    rows = {row.id: row for row in await store.agreements(session)}
    for id_ in sorted(frozenset[str]().union(*(one.agreements for one in controls))):
        row = rows.get(id_)
        if row is None:
            await records.unknown_suspended(session, id_, _order(id_, controls))
        elif Step(row.step) is Step.DRAFT:
            row.step, row.suspension_requested_at = Step.SUSPENDING, await now(session)
            row.last_order = await records.unknown_suspended(session, id_, _order(id_, controls))


async def _catch_up(session: AsyncSession, log: tables.LogIdentity, controls: Sequence[Control]) -> None:
    """Let orders go on above all that the log has."""
    log.floor = max(log.floor, *(one.floor for one in controls))
    for row in await store.agreements(session):
        row.last_order = max(row.last_order, _order(row.id, controls))


def _order(agreement_id: str, controls: Sequence[Control]) -> int:
    return max(one.marks.get(f"agreement/{agreement_id}", 0) for one in controls)
