"""Queries of deliveries: claimed by senders, ended by what came of them, asked for again.

They are written with what they deliver: see decision_rows and notice_rows.

Every delivery passes here, so these statements are written by hand and go to psycopg directly: to build and compile
them, and to wrap what comes back, costs more than PostgreSQL needs to run them.
"""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg.rows import namedtuple_row
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.ext.asyncio import AsyncSession

from services.kit import outbox
from services.kit.database import driver
from services.webhooks import model, records
from services.webhooks.custodian import Release
from services.webhooks.decision_rows import IS_VOID
from services.webhooks.model import State, step
from services.webhooks.notices import Written
from services.webhooks.tables import Delivery
from services.webhooks.told import Told, decode

CHANNEL: Final = "deliveries"
"""Notified, with the endpoint's id, when a person has made something due to it; what was decided wakes its reader's own
process."""
TAKEN_BACK_AT_ONCE: Final = 500

_WHAT: Final = (
    "attempt, failures, due_at, lease_until, webhook_id, told, notices.type AS kind, notices.body AS body,"
    " endpoint_id, url, types, secret, enabled AND deleted_at IS NULL AS is_open, failing, {is_void} AS is_void"
).replace("{is_void}", IS_VOID)
_JOINED: Final = (
    "JOIN endpoints e ON e.id = endpoint_id LEFT JOIN decisions ON decisions.number = decision"
    " LEFT JOIN notices ON notices.number = notice"
)
_NOTIFY: Final = text("SELECT pg_notify(:channel, id) FROM unnest(:endpoint_ids) AS id").bindparams(
    bindparam("channel", CHANNEL), bindparam("endpoint_ids", type_=ARRAY(TEXT))
)
# What follows is in one statement what model.step says of Claimed, compared and set.
_CLAIM: Final = (
    (
        "WITH due AS (SELECT d.number FROM deliveries d JOIN endpoints e ON e.id = d.endpoint_id"
        "  WHERE d.endpoint_id = %(endpoint_id)s AND d.state = 'pending' AND d.due_at <= clock_timestamp()"
        "  AND (e.held_until IS NULL OR e.held_until <= clock_timestamp()) AND (d.decision IS NULL OR %(decisions)s)"
        "  ORDER BY d.due_at, d.number LIMIT 1 FOR UPDATE OF d SKIP LOCKED),"
        " claimed AS (UPDATE deliveries d SET state = 'sending', attempt = d.attempt + 1,"
        "  lease_until = clock_timestamp() + %(lease)s FROM due WHERE d.number = due.number RETURNING d.*)"
        " SELECT claimed.number, {what}, EXISTS (SELECT 1 FROM deliveries other"
        "   WHERE other.endpoint_id = claimed.endpoint_id AND other.number <> claimed.number"
        "   AND other.state = 'pending' AND other.due_at <= clock_timestamp()) AS more,"
        "  claimed.unit_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM unit_versions known"
        "   WHERE known.unit_id = claimed.unit_id AND known.version <= claimed.unit_version) AS is_stale"
        " FROM claimed {joined}"
    )
    .replace("{what}", _WHAT)
    .replace("{joined}", _JOINED)
)
_LAPSED: Final = (
    (
        "SELECT d.number, {what}, false AS more, false AS is_stale, clock_timestamp() AS now"
        " FROM deliveries d {joined}"
        " WHERE state = 'sending' AND lease_until <= clock_timestamp() LIMIT %(most)s FOR UPDATE OF d SKIP LOCKED"
    )
    .replace("{what}", _WHAT)
    .replace("{joined}", _JOINED)
)
_END: Final = (
    "WITH ended AS (UPDATE deliveries SET state = %(state)s, failures = %(failures)s, due_at = %(due_at)s,"
    "  lease_until = NULL, shown_type = coalesce(CAST(%(shown_type)s AS text), shown_type)"
    "  WHERE number = %(number)s AND attempt = %(attempt)s AND state = 'sending' RETURNING number),"
    " put AS ({put})"
    " INSERT INTO attempts (delivery, attempt, began_at, milliseconds, status_code, error, is_shown)"
    " SELECT number, %(attempt)s, %(began_at)s, %(milliseconds)s, %(status_code)s, %(error)s, %(is_shown)s FROM ended"
    " RETURNING delivery"
).replace("{put}", outbox.PUT_ALL.replace("{source}", "ended"))
_DUE_ENDPOINTS: Final = text(
    "SELECT id, failing FROM endpoints e WHERE (held_until IS NULL OR held_until <= clock_timestamp())"
    " AND EXISTS (SELECT 1 FROM deliveries d"
    "  WHERE d.endpoint_id = e.id AND d.state = 'pending' AND d.due_at <= clock_timestamp())"
)
_REPLAY: Final = text(
    "UPDATE deliveries SET state = :state, failures = :failures, due_at = :due_at, lease_until = NULL"
    " WHERE number = :number"
)


@dataclass(frozen=True)
class Job:
    """A claimed delivery with all that an attempt needs; `secret` is still encrypted.

    `began_at` is the database's time; `more` says whether another delivery is due to the same endpoint. `is_void`: what
    it tells is of a referral that was entered in error.
    """

    number: int
    delivery: model.Delivery
    began_at: datetime
    webhook_id: str
    what: Told | Written
    endpoint_id: str
    url: str
    types: list[str]
    secret: bytes
    is_open: bool
    is_failing: bool
    is_void: bool
    more: bool


@dataclass(frozen=True)
class Ended:
    """What came of an attempt, under which release, and as which type its endpoint's owner may see it, if at all."""

    event: model.Outcome | model.Interrupted
    release: Release | None = None
    shown_type: str | None = None


async def claim(connection: AsyncConnection, endpoint_id: str, *, decisions: bool = True) -> Job | None:
    """Take up the endpoint's delivery that has been due the longest; None when there is none.

    Without `decisions`, only of what needs no release.
    """
    row = {"endpoint_id": endpoint_id, "lease": model.SENDING_LEASE, "decisions": decisions}
    async with connection.cursor(binary=True, row_factory=namedtuple_row) as cursor:
        await cursor.execute(_CLAIM, row)
        found = await cursor.fetchone()
    return None if found is None else _job(found)


async def end(
    connection: AsyncConnection, job: Job, ended: Ended, seconds: float, *, notify: bool = True
) -> model.Step | None:
    """Write what came of an attempt after so many seconds, and tell the log; None if another has taken it up since.

    The log is told of releases alone. It is one statement, so on a connection without a transaction it is one by
    itself. `notify`: see `outbox.put_on`.
    """
    at = job.began_at + timedelta(seconds=seconds)
    done = step(job.delivery, ended.event, at, random.random())  # noqa: S311 - spreads retries, hides nothing
    said = records.NOTHING
    if isinstance(job.what, Told):
        said = records.of_attempt(job.what, job.endpoint_id, [_said(job, ended, each, at) for each in done.said])
    written = await connection.execute(_END, _row(job, done.delivery, ended, seconds) | said | {"notify": notify})
    return None if await written.fetchone() is None else done


async def take_back(session: AsyncSession) -> None:
    """Make deliveries due again whose sender did not come back within its lease."""
    connection = await driver(session)
    async with connection.cursor(binary=True, row_factory=namedtuple_row) as cursor:
        await cursor.execute(_LAPSED, {"most": TAKEN_BACK_AT_ONCE})
        lapsed = await cursor.fetchall()
    for found in lapsed:
        job, now = _job(found), found[-1]
        await end(connection, job, Ended(model.Interrupted()), (now - job.began_at).total_seconds())


async def due_endpoints(session: AsyncSession) -> list[tuple[str, bool]]:
    """Return the endpoints to which a delivery is due, and whether each is failing."""
    return [(found.id, found.failing) for found in await session.execute(_DUE_ENDPOINTS)]


async def replay(session: AsyncSession, row: Delivery, now: datetime) -> None:
    """Make a delivery, whose row is locked, due now; model.InvalidTransitionError while it is being sent."""
    state = model.Delivery(State(row.state), row.due_at, row.attempt, row.failures, row.lease_until)
    again = step(state, model.Replayed(), now, 0.0).delivery
    values = {"state": again.state, "failures": again.failures, "due_at": again.due_at, "number": row.number}
    await session.execute(_REPLAY, values)
    await notify(session, row.endpoint_id)


async def notify(session: AsyncSession, *endpoint_ids: str) -> None:
    """Wake the senders for endpoints, once this transaction commits."""
    await session.execute(_NOTIFY, {"endpoint_ids": list(endpoint_ids)})


def _job(found: Any) -> Job:  # noqa: ANN401 - a row by names
    return Job(
        number=found.number,
        delivery=model.Delivery(State.SENDING, found.due_at, found.attempt, found.failures, found.lease_until),
        began_at=found.lease_until - model.SENDING_LEASE,
        webhook_id=found.webhook_id,
        what=_what(found),
        endpoint_id=found.endpoint_id,
        url=found.url,
        types=found.types,
        secret=found.secret,
        is_open=found.is_open,
        is_failing=found.failing,
        is_void=bool(found.is_void),
        more=found.more,
    )


def _what(found: Any) -> Told | Written:  # noqa: ANN401 - a row by names
    if found.told is not None:
        return decode(found.told)
    return Written(found.kind, found.body, found.is_stale)


def _row(job: Job, delivery: model.Delivery, ended: Ended, seconds: float) -> dict[str, Any]:
    return {
        "number": job.number,
        "attempt": job.delivery.attempt,
        "state": delivery.state,
        "failures": delivery.failures,
        "due_at": delivery.due_at,
        "shown_type": ended.shown_type,
        "began_at": job.began_at,
        "milliseconds": round(seconds * 1000),
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


def _said(job: Job, ended: Ended, said: model.Said, at: datetime) -> records.Said:
    release = ended.release
    withheld = isinstance(ended.event, model.Withheld)
    return records.Said(
        state=said,
        channel="webhook",
        attempt=job.delivery.attempt,
        at=at,
        release=release,
        endpoint_id=job.endpoint_id,
        reason=release.reason if withheld and release else _error(ended.event),
    )
