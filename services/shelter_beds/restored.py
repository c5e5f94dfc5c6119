"""A restored database of beds: notices at start that it is older than the log, and takes back what the log has."""

from collections.abc import Iterable, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Final

import msgspec
from pydantic import SecretStr
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from schemas import beds as said
from services.kit import database
from services.kit.broker import Record
from services.kit.connecting import Kafka
from services.kit.database import Database
from services.kit.outbox import Outbox
from services.kit.restored import RestoredError, accept, alone, everything, newest
from services.shelter_beds import saying, store, units
from services.shelter_beds.desk import Author, Desk
from services.shelter_beds.profile import UnitProfile
from services.shelter_beds.retaken import retake
from services.shelter_beds.retold import ENDED, HoldAsSaid, far, far_of, retold, steps_of
from services.shelter_beds.tables import Hold, Unit

SERVICE: Final = "shelter_beds"
_AS_SAID: Final = {"season", "shown", "hold_policy", "time_zone", "household_type", "name", *saying.OF_ANY_UNIT}
_SAID: Final = msgspec.json.Decoder(said.UnitAvailability)


async def check(kafka: Kafka, tables: Database) -> None:
    """Raise RestoredError if something of ours stands on the log that our tables do not know.

    What is over of which they know nothing was ended by `declared`.
    """
    async with aclosing(newest(kafka, tables, saying.HOLDS)) as runs:
        async for run in runs:
            await _check_holds(tables, run)
    async with aclosing(newest(kafka, tables, saying.AVAILABILITY)) as runs:
        async for run in runs:
            await _check_units(tables, run)


async def _check_holds(tables: Database, run: Sequence[Record]) -> None:
    holds = retold(steps_of(record.value for record in run)).holds
    async with tables.transaction() as session:
        known = {row.id: row for row in await session.scalars(select(Hold).where(col(Hold.id).in_(holds)))}
    if any(_is_behind(known.get(id_), hold) for id_, hold in holds.items()):
        raise RestoredError(SERVICE)


async def _check_units(tables: Database, run: Sequence[Record]) -> None:
    last = _last_said(record.value for record in run)
    async with tables.transaction() as session:
        versions = await _versions(session, last)
    if any(versions.get(id_, unit.version * unit.withdrawn) < unit.version for id_, unit in last.items()):
        raise RestoredError(SERVICE)


def _is_behind(row: Hold | None, hold: HoldAsSaid) -> bool:
    if row is None:
        return any(far_of(step) < ENDED for step in hold.steps)
    return far(row.state, extended=row.extended) < hold.far


async def declared(kafka: Kafka, url: SecretStr) -> str:
    """Bring the tables up to what was said of units and holds; return a sentence that counts it.

    What is said nowhere is lost: a hold's door code and referral, a unit's delegates and its beds of a kind. A unit
    that was registered since the backup is withdrawn, and its holds end.
    """
    tables = Database(url)
    steps = steps_of([record.value async for run in everything(kafka, saying.HOLDS) for record in run])
    values = [record.value async for run in everything(kafka, saying.AVAILABILITY) for record in run]
    last = _last_said(values)
    try:
        await tables.migrate(SERVICE)
        async with tables.transaction() as session:
            await alone(session, SERVICE)
            waiting = await _unsaid(session, {step.id for step in steps})
            versions = await _versions(session, last)
            behind = {unit_id for unit_id, version in versions.items() if version < last[unit_id].version}
            for unit_id in sorted(behind):
                await _adopt(session, last[unit_id])
            taken = await retake(session, retold([*steps, *waiting]), versions.keys())
            for unit_id in sorted(behind | taken.units):
                await _say_again(session, unit_id, last.get(unit_id))
            for unit_id in sorted(last.keys() - versions.keys()):
                await _withdraw(session, last[unit_id])
            for topic in (saying.HOLDS, saying.AVAILABILITY):
                await accept(session, kafka, topic)
    finally:
        await tables.close()
    return f"{len(behind)} units and {taken.holds} holds were taken back from the log."


def _last_said(values: Iterable[bytes | None]) -> dict[str, said.Unit]:
    found: dict[str, said.Unit] = {}
    for unit in (_SAID.decode(value).data for value in values if value is not None):
        if unit.unit_id not in found or found[unit.unit_id].version < unit.version:
            found[unit.unit_id] = unit
    return found


async def _versions(session: AsyncSession, wanted: dict[str, said.Unit]) -> dict[str, int]:
    rows = await session.execute(select(col(Unit.id), col(Unit.version)).where(col(Unit.id).in_(wanted)))
    return dict(rows.all())


async def _unsaid(session: AsyncSession, sent: set[str]) -> Sequence[said.HoldEvents]:
    """Forget what waits to be said, unless it is of a bed and the log does not have it; return the latter."""
    await session.execute(delete(Outbox).where(col(Outbox.topic) == saying.AVAILABILITY))
    waiting: list[said.HoldEvents] = []
    query = select(Outbox).where(col(Outbox.topic) == saying.HOLDS).order_by(col(Outbox.id))
    for row in (await session.scalars(query)).all():
        [step] = steps_of([row.body])
        if step.id in sent:
            await session.delete(row)
        else:
            waiting.append(step)
    return waiting


async def _adopt(session: AsyncSession, public: said.Unit) -> None:
    """Let a unit be what was last said of it in public: above all as hidden, or as gone."""
    unit = await store.locked(session, public.unit_id, None)
    profile = UnitProfile.model_validate(unit.profile)
    if public.confidential:
        kept = {name: getattr(public, name) for name in ("phone", "shown", "hold_policy")}
        described = profile.hidden().model_dump(mode="json") | kept
    else:
        described = unit.profile | {name: getattr(public, name) for name in _AS_SAID} | {"confidential": False}
    if public.maximum_hold_minutes is not None:
        described["max_minutes"] = public.maximum_hold_minutes
    unit.profile = UnitProfile.model_validate(described).model_dump(mode="json")
    unit.version, unit.withdrawn, unit.said = public.version, public.withdrawn, None
    unit.test = unit.test or public.test
    now = await database.now(session)
    unit.last_reset_at = now  # the hours that struck since the backup are in what was said
    if public.reported_at is not None:
        unit.reported_at = unit.census_as_of = datetime.fromisoformat(public.reported_at)
    await session.flush()


async def _say_again(session: AsyncSession, unit_id: str, public: said.Unit | None) -> None:
    """Say of a unit what its tables have now, with no more free beds than were said before."""
    unit = await store.locked(session, unit_id, None)
    if unit.withdrawn:
        return
    unit.said = None
    desk = await Desk.open(session, unit_id, Author())
    if public is not None and public.available is not None:
        units.fill(desk.beds, public.available)
    await desk.close()


async def _withdraw(session: AsyncSession, public: said.Unit) -> None:
    """Say that a unit is no more of which we know nothing: nobody could answer at its desk."""
    if not public.withdrawn:
        await saying.withdrawn(session, public, await database.now(session))
