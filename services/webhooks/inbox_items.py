"""Queries of inbox items: an organization's decisions, in their order or of one referral, none withheld for ever.

Among them stand the notices that are told to it without a decision, each at its place.

An item of which no message can be made leaves its place, and comes back at the end of the inbox when it is due again,
by the very schedule of deliveries. So it neither stops what comes after it nor lies behind its reader's cursor unread.
Once the schedule is used up it is given up for good: every reader passes it over, and the custodian is not asked again.
Each time the log is told why, for its publisher and the audit; its reader is told nothing: it might have been withheld.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from services.kit.database import now
from services.webhooks import records
from services.webhooks.custodian import Release
from services.webhooks.decision_rows import IS_VOID, LOCK_DECISIONS
from services.webhooks.model import RETRY_SCHEDULE, Delivery, Said, State, Unmade, step
from services.webhooks.tables import Decision
from services.webhooks.told import Told, decode

# Whoever takes or changes several rows takes them in the order of their numbers, so that no two wait for each other.
# What has failed as often as the schedule has attempts is given up: see model.step.
_TAKE: Final = text(
    "WITH following AS MATERIALIZED ("
    " (SELECT number, CAST(NULL AS bytea) AS body, position FROM decisions"
    "   WHERE organization = :organization AND position > :position AND NOT inbox_withheld AND inbox_due_at IS NULL"
    "   AND inbox_failures < :most ORDER BY position LIMIT :limit)"
    " UNION ALL"
    " (SELECT NULL, body, position FROM notices WHERE inbox = :organization AND position > :position"
    "   ORDER BY position LIMIT :limit)"
    " ORDER BY position LIMIT :limit),"
    " locked AS MATERIALIZED (SELECT number FROM decisions"
    "  WHERE number IN (SELECT number FROM following) ORDER BY number FOR UPDATE),"
    " counted AS (UPDATE decisions SET inbox_attempts = inbox_attempts + 1"
    "  WHERE number IN (SELECT number FROM locked)"
    "  RETURNING number, position, inbox_attempts, inbox_failures, {is_void} AS is_void, told)"
    " SELECT CAST(NULL AS bytea) AS body, counted.* FROM counted"
    " UNION ALL SELECT body, NULL, position, NULL, NULL, NULL, NULL FROM following WHERE body IS NOT NULL"
    " ORDER BY position".replace("{is_void}", IS_VOID)
)
_LOCK_REFERRAL: Final = text(
    "SELECT FROM decisions WHERE organization = :organization AND referral_id = :referral_id"
    " AND verdict IN ('permit', 'status') ORDER BY number FOR UPDATE"
)
# Of each client the newest permit, if it is not withheld, and the newest status after it. An older permit never takes
# the place of one that was withheld. `number` is the order of the log for each client.
_TAKE_REFERRAL: Final = text(
    "WITH newest AS (SELECT DISTINCT ON (client_id, verdict) client_id, verdict, number, inbox_withheld FROM decisions"
    "  WHERE organization = :organization AND referral_id = :referral_id AND verdict IN ('permit', 'status')"
    "  ORDER BY client_id, verdict, number DESC),"
    " permits AS (SELECT client_id, number FROM newest WHERE verdict = 'permit' AND NOT inbox_withheld),"
    " wanted AS (SELECT number FROM permits UNION ALL SELECT newest.number FROM newest JOIN permits USING (client_id)"
    "  WHERE verdict = 'status' AND NOT inbox_withheld AND newest.number > permits.number)"
    " UPDATE decisions SET inbox_attempts = inbox_attempts + 1 WHERE number IN (SELECT number FROM wanted)"
    " RETURNING inbox_due_at IS NULL AND inbox_failures < :most AS readable,"
    "  number, position, inbox_attempts, inbox_failures, {is_void}, told".replace("{is_void}", IS_VOID)
)
_IS_ANY_DUE: Final = text("SELECT FROM decisions WHERE inbox_due_at <= clock_timestamp() LIMIT 1")
_BRING_BACK: Final = text(
    "WITH due AS MATERIALIZED"
    "  (SELECT number FROM decisions WHERE inbox_due_at <= clock_timestamp() ORDER BY number FOR UPDATE)"
    " UPDATE decisions SET position = DEFAULT, inbox_due_at = NULL WHERE number IN (SELECT number FROM due)"
)


@dataclass(frozen=True)
class Item:
    """A decision about to be read; `attempt` counts the readings, `failures` those without a message since the last.

    `is_void`: it is of a referral that was entered in error.
    """

    number: int
    position: int
    attempt: int
    failures: int
    is_void: bool
    told: Told


@dataclass(frozen=True)
class Noticed:
    """A notice at its place in the inbox, as it is written: whose it is may always read it."""

    position: int
    body: bytes


async def take(session: AsyncSession, organization: str, position: int, limit: int) -> list[Item | Noticed]:
    """Return what follows `position`, of decisions each as a reading of its own."""
    values = {"organization": organization, "position": position, "limit": limit, "most": len(RETRY_SCHEDULE)}
    rows = (await session.execute(_TAKE, values)).all()
    return [_item(row) if body is None else Noticed(row[1], body) for body, *row in rows]


async def take_referral(session: AsyncSession, organization: str, referral_id: str) -> list[Item] | None:
    """Return what a referral's story is made of, each item as a reading of its own; nothing of who was never permitted.

    A withheld item stays so, as in the inbox: what may be told later comes with a newer decision. None, which the
    caller is to roll back, while of one no message can be made: without it the others would look like all there is.
    """
    values = {"organization": organization, "referral_id": referral_id}
    await session.execute(_LOCK_REFERRAL, values)
    rows = (await session.execute(_TAKE_REFERRAL, values | {"most": len(RETRY_SCHEDULE)})).all()
    return [_item(row) for readable, *row in rows] if all(readable for readable, *_ in rows) else None


async def show(session: AsyncSession, item: Item, release: Release | None) -> None:
    """Tell the log that an item goes out. Now that it could be made, later failures have the whole schedule again."""
    if item.failures:
        await _change(session, item, inbox_failures=0)
    await say(session, item, "released", release)


async def withhold(session: AsyncSession, item: Item, release: Release | None) -> None:
    """Keep an item back for ever, and tell the log."""
    await _change(session, item, inbox_withheld=True)
    await say(session, item, "withheld", release)


async def put_off(session: AsyncSession, item: Item, unmade: Unmade, release: Release | None) -> None:
    """Take an item of which no message could be made out of the inbox until it is due again, and tell the log."""
    at = await now(session)
    read = Delivery(State.SENDING, at, item.attempt, item.failures)
    done = step(read, unmade, at, random.random())  # noqa: S311 - spreads retries, hides nothing
    due_at = done.delivery.due_at if done.delivery.state is State.PENDING else None
    await _change(session, item, inbox_failures=done.delivery.failures, inbox_due_at=due_at)
    for said in done.said:
        await say(session, item, said, release, unmade.reason)


async def bring_back(session: AsyncSession) -> None:
    """Put items that are due again at the end of their inboxes."""
    if (await session.execute(_IS_ANY_DUE)).first() is not None:
        await session.execute(LOCK_DECISIONS)
        await session.execute(_BRING_BACK)


async def say(
    session: AsyncSession, item: Item, state: Said, release: Release | None, reason: str | None = None
) -> None:
    """Tell the log what became of a reading; `reason` if the custodian's says nothing of it."""
    said = records.Said(
        state=state,
        channel="inbox",
        attempt=item.attempt,
        at=await now(session),
        release=release,
        reason=reason or (release.reason if release else None),
    )
    await records.put(session, item.told, said)


def _item(row: Sequence[Any]) -> Item:
    number, position, attempt, failures, is_void, told = row
    return Item(number, position, attempt, failures, is_void, decode(told))


async def _change(session: AsyncSession, item: Item, **values: object) -> None:
    statement = update(Decision).where(col(Decision.number) == item.number).values(values)
    await session.execute(statement.execution_options(synchronize_session=False))
