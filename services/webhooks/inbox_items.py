"""Queries of inbox items: an organization's decisions in their order, without those withheld for ever."""

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from services.kit.database import now
from services.webhooks import records
from services.webhooks.custodian import Release
from services.webhooks.tables import Decision
from services.webhooks.told import Told, decode


@dataclass(frozen=True)
class Item:
    """A decision about to be read; `attempt` counts the readings."""

    number: int
    attempt: int
    told: Told


async def take(session: AsyncSession, organization: str, position: int, limit: int) -> list[Item]:
    """Return the next items after `position`, each as a reading of its own."""
    following = (
        select(col(Decision.number))
        .where(col(Decision.organization) == organization, col(Decision.number) > position)
        .where(col(Decision.inbox_withheld).is_(False))
        .order_by(col(Decision.number))
        .limit(limit)
    )
    counted = (
        update(Decision)
        .where(col(Decision.number).in_(following))
        .values(inbox_attempts=col(Decision.inbox_attempts) + 1)
        .returning(col(Decision.number), col(Decision.inbox_attempts), col(Decision.told))
        .execution_options(synchronize_session=False)
    )
    rows = (await session.execute(counted)).all()
    return sorted((Item(number, attempt, decode(told)) for number, attempt, told in rows), key=lambda item: item.number)


async def withhold(session: AsyncSession, item: Item, release: Release | None) -> None:
    """Keep an item back for ever, and tell the log."""
    statement = update(Decision).where(col(Decision.number) == item.number).values(inbox_withheld=True)
    await session.execute(statement.execution_options(synchronize_session=False))
    await say(session, item, "withheld", release)


async def say(
    session: AsyncSession,
    item: Item,
    state: Literal["released", "delivered", "withheld", "not_sent"],
    release: Release | None,
) -> None:
    """Tell the log what became of a reading."""
    said = records.Said(
        state=state,
        channel="inbox",
        attempt=item.attempt,
        at=await now(session),
        verdict=release.verdict if release else item.told.verdict,
        categories=release.categories if release else (),
        release_id=release.release_id if release else None,
        reason=release.reason if release else "not-released",
    )
    await records.put(session, item.told, said)
