"""What an endpoint's organization may see of its deliveries: those of which it has already been told.

A delivery that the custodian has not released yet may still be withheld, and then nothing may show that it was there.
One that was released and then withheld looks like any other that was given up.
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from services.kit.problems import Problem
from services.webhooks import bodies
from services.webhooks.model import State
from services.webhooks.tables import Attempt, Delivery, Endpoint

_SHOWN_STATE: Final = {**{state: state.value for state in State}, State.WITHHELD: State.GIVEN_UP.value}


async def of(
    session: AsyncSession, organization: str, delivery_id: str, *, lock: bool = False
) -> tuple[Delivery, Endpoint]:
    """Return a delivery that an organization may see, with its endpoint; Problem 404."""
    query = (
        select(Delivery, Endpoint)
        .join(Endpoint, col(Endpoint.id) == col(Delivery.endpoint_id))
        .where(col(Delivery.id) == delivery_id, col(Endpoint.organization) == organization)
        .where(col(Delivery.shown_type).is_not(None), col(Endpoint.deleted_at).is_(None))
    )
    found = (await session.execute(query.with_for_update(of=Delivery) if lock else query)).first()
    if found is None:
        raise Problem("not-found")
    return found


async def of_endpoint(session: AsyncSession, endpoint_id: str, before: int | None, limit: int) -> Sequence[Delivery]:
    """Return an endpoint's deliveries before a position, newest first."""
    query = select(Delivery).where(col(Delivery.endpoint_id) == endpoint_id, col(Delivery.shown_type).is_not(None))
    if before is not None:
        query = query.where(col(Delivery.number) < before)
    return (await session.scalars(query.order_by(col(Delivery.number).desc()).limit(limit))).all()


async def attempts(session: AsyncSession, number: int) -> Sequence[Attempt]:
    """Return the attempts of a delivery that may be seen, oldest first."""
    query = select(Attempt).where(col(Attempt.delivery) == number, col(Attempt.is_shown))
    return (await session.scalars(query.order_by(col(Attempt.attempt)))).all()


def view(row: Delivery) -> bodies.Delivery:
    """Show a delivery."""
    return bodies.Delivery.model_validate(
        {
            "id": row.id,
            "endpoint_id": row.endpoint_id,
            "webhook_id": row.webhook_id,
            "type": row.shown_type,
            "state": _SHOWN_STATE[State(row.state)],
            "next_attempt_at": row.due_at if row.state == State.PENDING else None,
        }
    )


def view_attempt(row: Attempt) -> bodies.Attempt:
    """Show a line of the attempt log."""
    return bodies.Attempt(
        began_at=row.began_at, milliseconds=row.milliseconds, status_code=row.status_code, error=row.error
    )
