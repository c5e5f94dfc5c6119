"""Queries of deliveries: written when the boundary has decided, claimed by senders, ended by what came of them."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import exists, func, insert, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert as insert_or_skip
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased
from sqlmodel import col

from services.kit.keys import random_id
from services.webhooks import model, records
from services.webhooks.custodian import Release
from services.webhooks.model import State, step
from services.webhooks.signatures import webhook_id
from services.webhooks.tables import Attempt, Decision, Delivery, Endpoint
from services.webhooks.told import Told, decode, encode, wants

CHANNEL: Final = "deliveries"
"""Notified, with the endpoint's id, when one of its deliveries has become due."""
DECISIONS_LOCK: Final = 7_201_865_305
"""Any constant: decisions commit in the order of their numbers, so that no inbox cursor passes one by."""
DECISIONS_AT_ONCE: Final = 500

_NOW: Final = func.clock_timestamp()


@dataclass(frozen=True)
class Job:
    """A claimed delivery with all that an attempt needs; `secret` is still encrypted."""

    number: int
    delivery: model.Delivery
    told: Told
    endpoint_id: str
    is_open: bool
    is_failing: bool
    url: str
    types: list[str]
    secret: bytes
    webhook_id: str
    began_at: datetime
    more: bool = False
    """Whether another delivery is due to the same endpoint."""


@dataclass(frozen=True)
class Ended:
    """What came of an attempt, in how many seconds, under which release."""

    event: model.Outcome | model.Interrupted
    seconds: float = 0.0
    release: Release | None = None
    shown_type: str | None = None


async def add(session: AsyncSession, told: Sequence[Told], id_key: bytes) -> None:
    """Add what organizations are told: an inbox item each, and a delivery to each endpoint that wants it."""
    if not told:
        return
    await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": DECISIONS_LOCK})
    for start in range(0, len(told), DECISIONS_AT_ONCE):
        await _add(session, {each.id: each for each in told[start : start + DECISIONS_AT_ONCE]}, id_key)


async def claim(session: AsyncSession, endpoint_id: str) -> Job | None:
    """Take up the endpoint's delivery that has been due the longest; None when there is none."""
    query = (
        select(Delivery, Endpoint, col(Decision.told), _NOW, _another_is_due())
        .join(Endpoint, col(Endpoint.id) == col(Delivery.endpoint_id))
        .join(Decision, col(Decision.number) == col(Delivery.decision))
        .where(col(Delivery.endpoint_id) == endpoint_id, col(Delivery.state) == State.PENDING)
        .where(col(Delivery.due_at) <= _NOW, _is_free())
        .order_by(col(Delivery.due_at), col(Delivery.number))
        .limit(1)
        .with_for_update(of=Delivery, skip_locked=True)
    )
    found = (await session.execute(query)).first()
    if found is None:
        return None
    row, endpoint, told, now, more = found
    claimed = step(_state(row), model.Claimed(), now, 0.0).delivery
    await _write(session, row.number, claimed)
    return replace(_job(row, endpoint, told, claimed, now), more=more)


async def end(session: AsyncSession, job: Job, ended: Ended) -> model.Step | None:
    """Write what came of an attempt, and tell the log; None if another has taken the delivery up since."""
    query = select(Delivery, _NOW).where(col(Delivery.number) == job.number).with_for_update()
    row, now = (await session.execute(query)).one()
    if (row.state, row.attempt) != (State.SENDING, job.delivery.attempt):
        return None
    done = step(_state(row), ended.event, now, random.random())  # noqa: S311 - spreads retries, hides nothing
    shown = {"shown_type": ended.shown_type} if ended.shown_type else {}
    await _write(session, job.number, done.delivery, **shown)
    await session.execute(insert(Attempt).values(_line(job, ended)))
    for said in done.said:
        await records.put(session, job.told, _release_said(job, ended, said, now))
    return done


async def take_back(session: AsyncSession) -> int:
    """Make deliveries due again whose sender did not come back within its lease; return how many."""
    query = (
        select(Delivery, Endpoint, col(Decision.told), _NOW)
        .join(Endpoint, col(Endpoint.id) == col(Delivery.endpoint_id))
        .join(Decision, col(Decision.number) == col(Delivery.decision))
        .where(col(Delivery.state) == State.SENDING, col(Delivery.lease_until) <= _NOW)
        .limit(DECISIONS_AT_ONCE)
        .with_for_update(of=Delivery, skip_locked=True)
    )
    found = (await session.execute(query)).all()
    for row, endpoint, told, now in found:
        began_at = row.lease_until - model.SENDING_LEASE
        job = _job(row, endpoint, told, _state(row), began_at)
        await end(session, job, Ended(model.Interrupted(), (now - began_at).total_seconds()))
    return len(found)


async def due_endpoints(session: AsyncSession) -> Sequence[tuple[str, bool]]:
    """Return the endpoints to which a delivery is due, and whether each is failing."""
    due = exists().where(
        col(Delivery.endpoint_id) == col(Endpoint.id),
        col(Delivery.state) == State.PENDING,
        col(Delivery.due_at) <= _NOW,
    )
    return (await session.execute(select(col(Endpoint.id), col(Endpoint.failing)).where(due, _is_free()))).all()


async def replay(session: AsyncSession, row: Delivery) -> None:
    """Make a delivery due now; model.InvalidTransitionError while it is being sent."""
    now: datetime = (await session.scalars(select(_NOW))).one()
    await _write(session, row.number, step(_state(row), model.Replayed(), now, 0.0).delivery)
    await notify(session, row.endpoint_id)


async def notify(session: AsyncSession, endpoint_id: str) -> None:
    """Wake the senders for an endpoint, once this transaction commits."""
    await session.execute(text(f"SELECT pg_notify('{CHANNEL}', :endpoint)"), {"endpoint": endpoint_id})


async def _add(session: AsyncSession, told: dict[str, Told], id_key: bytes) -> None:
    rows = [{"id": each.id, "organization": each.party.organization, "told": encode(each)} for each in told.values()]
    added = insert_or_skip(Decision).values(rows).on_conflict_do_nothing()
    numbers = dict((await session.execute(added.returning(col(Decision.id), col(Decision.number)))).all())
    endpoints = await _open_endpoints(session, {each.party.organization for each in told.values()})
    deliveries = [
        _new_delivery(number, told[id_], endpoint, id_key)
        for id_, number in numbers.items()
        for endpoint in endpoints
        if endpoint.organization == told[id_].party.organization and wants(endpoint.types, told[id_].types)
    ]
    if deliveries:
        await session.execute(insert(Delivery).values(deliveries))
    for endpoint_id in {delivery["endpoint_id"] for delivery in deliveries}:
        await notify(session, endpoint_id)


async def _open_endpoints(session: AsyncSession, organizations: set[str]) -> Sequence[Endpoint]:
    query = (
        select(Endpoint)
        .where(col(Endpoint.organization).in_(organizations))
        .where(col(Endpoint.enabled), col(Endpoint.deleted_at).is_(None))
    )
    return (await session.scalars(query.order_by(col(Endpoint.number)))).all()


def _new_delivery(number: int, told: Told, endpoint: Endpoint, id_key: bytes) -> dict[str, Any]:
    return {
        "id": random_id(),
        "decision": number,
        "endpoint_id": endpoint.id,
        "webhook_id": webhook_id(id_key, told.id, endpoint.id),
        "state": State.PENDING,
        "attempt": 0,
        "failures": 0,
        "due_at": _NOW,
    }


def _another_is_due() -> Any:  # noqa: ANN401 - as below
    other = aliased(Delivery)
    return exists().where(
        col(other.endpoint_id) == col(Delivery.endpoint_id),
        col(other.number) != col(Delivery.number),
        col(other.state) == State.PENDING,
        col(other.due_at) <= _NOW,
    )


def _is_free() -> Any:  # noqa: ANN401 - SQLAlchemy's own type of an OR has none that is public
    return or_(col(Endpoint.held_until).is_(None), col(Endpoint.held_until) <= _NOW)


def _state(row: Delivery) -> model.Delivery:
    return model.Delivery(State(row.state), row.due_at, row.attempt, row.failures, row.lease_until)


def _job(row: Delivery, endpoint: Endpoint, told: bytes, claimed: model.Delivery, now: datetime) -> Job:
    return Job(
        number=row.number,
        delivery=claimed,
        told=decode(told),
        endpoint_id=endpoint.id,
        is_open=endpoint.enabled and endpoint.deleted_at is None,
        is_failing=endpoint.failing,
        url=endpoint.url,
        types=endpoint.types,
        secret=endpoint.secret,
        webhook_id=row.webhook_id,
        began_at=now,
    )


async def _write(session: AsyncSession, number: int, delivery: model.Delivery, **more: str) -> None:
    values = {
        "state": delivery.state,
        "attempt": delivery.attempt,
        "failures": delivery.failures,
        "due_at": delivery.due_at,
        "lease_until": delivery.lease_until,
    }
    statement = update(Delivery).where(col(Delivery.number) == number).values(**values, **more)
    await session.execute(statement.execution_options(synchronize_session=False))


def _line(job: Job, ended: Ended) -> dict[str, Any]:
    return {
        "delivery": job.number,
        "attempt": job.delivery.attempt,
        "began_at": job.began_at,
        "milliseconds": round(ended.seconds * 1000),
        "status_code": ended.event.status if isinstance(ended.event, model.Answered) else None,
        "error": _error(ended.event),
        "is_shown": ended.shown_type is not None,
    }


def _error(event: model.Outcome | model.Interrupted) -> str | None:
    match event:
        case model.Answered():
            return None
        case model.Broken():
            return event.error
        case model.Interrupted():
            return "interrupted"
        case model.Withheld():
            return "withheld"
    return event.reason


def _release_said(job: Job, ended: Ended, said: model.Said, now: datetime) -> records.Said:
    release = ended.release
    withheld = isinstance(ended.event, model.Withheld)
    return records.Said(
        state=said,
        channel="webhook",
        attempt=job.delivery.attempt,
        at=now,
        endpoint_id=job.endpoint_id,
        verdict=release.verdict if release else job.told.verdict,
        categories=release.categories if release else (),
        release_id=release.release_id if release else None,
        reason=release.reason if withheld and release else _error(ended.event),
    )
