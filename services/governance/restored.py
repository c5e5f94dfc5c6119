"""Makes a restored database fit to be governed from: it takes back from the log what narrowed, and trusts no secret."""

from collections.abc import Sequence
from typing import Final

from pydantic import SecretStr
from sqlalchemy import select, update
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

UNKNOWN: Final = "unknown"
"""By which credential a party left: the log does not say."""
_NOT_ENDED: Final = frozenset({Step.DRAFT, Step.DECIDED})


async def declared(kafka: Kafka, url: SecretStr) -> str:  # noqa: ARG001 - it reads the log when it starts
    """Do what follows from a restored database whatever the log says; return what to tell its operator."""
    database = Database(url)
    try:
        await database.migrate("governance")
        async with database.transaction() as session:
            names = await _distrust(session)
    finally:
        await database.close()
    return "\n".join(["No credential counts until the administrator confirms it:", *names, "Start governance now."])


async def take_back(database: Database, view: ControlView) -> None:
    """Take back what narrows, and no permission, where the log has more than the tables; for before anything is served.

    What the log permits and the tables do not is ended on the log by a restatement.
    """
    async with database.transaction() as session:
        log = await store.locked_log(session)
        said, controls = await restating.said(session, log), view.by_partition()
        if not any(said.is_behind(one) for one in controls):
            return
        logs.get().error("the tables were behind the log: what narrowed is taken back from it")
        await _organizations(session, said, controls)
        await _agreements(session, controls, view.positions)
        log.floor = max(log.floor, *(one.floor for one in controls))
        await _distrust(session)
        try:
            await restating.restate(session, log, controls)
        except Problem:
            logs.get().error("what was lost stays on the log: the complete state does not fit one record")


async def _distrust(session: AsyncSession) -> list[str]:
    """Let no credential count until it is confirmed; return which."""
    kept = col(tables.Credential.revoked_at).is_(None)
    await session.execute(update(tables.Credential).where(kept).values(unconfirmed=True))
    rows = await session.scalars(select(tables.Credential).where(kept).order_by(col(tables.Credential.organization)))
    return [f"{row.organization} {row.client_id} {row.name}" for row in rows]


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
    for row in rows.values():
        row.last_order = max([row.last_order, *(one.marks.get(f"agreement/{row.id}", 0) for one in controls)])
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
