"""Queries of endpoints: every one of them is asked for as its organization's own."""

from datetime import datetime

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from services.kit.auth import Principal
from services.kit.database import now
from services.kit.pages import Paging
from services.kit.problems import Problem
from services.webhooks import store
from services.webhooks.tables import Endpoint


async def add(
    session: AsyncSession,
    *,
    id_: str,
    organization: str,
    test: bool,
    url: str,
    types: list[str],
    description: str | None,
    secret: bytes,
) -> Endpoint:
    """Insert an endpoint; `secret` is encrypted."""
    values = {
        "id": id_,
        "organization": organization,
        "test": test,
        "url": url,
        "types": types,
        "description": description,
        "secret": secret,
        "enabled": True,
        "failing": False,
        "created_at": await now(session),
    }
    return (await session.scalars(insert(Endpoint).values(values).returning(Endpoint))).one()


async def of(session: AsyncSession, caller: Principal, endpoint_id: str, *, lock: bool = False) -> Endpoint:
    """Return a caller's endpoint, locked for a change if asked; Problem 404 for others' and deleted ones.

    One from before endpoints knew whether they are a test's learns it here.
    """
    found = await session.get(Endpoint, endpoint_id, with_for_update=lock or None)
    if found is None or found.organization != caller.own_organization() or found.deleted_at is not None:
        raise Problem("not-found")
    found.test = found.test or caller.test
    return found


async def listed(session: AsyncSession, organization: str, paging: Paging) -> list[Endpoint]:
    """Return a window of an organization's endpoints, oldest first."""
    query = select(Endpoint).where(col(Endpoint.organization) == organization, col(Endpoint.deleted_at).is_(None))
    return list(await session.scalars(paging.window(query, col(Endpoint.number))))


async def delete(session: AsyncSession, endpoint: Endpoint) -> None:
    """Delete a locked endpoint, and with it its secret; what is yet to be sent to it ends unsent."""
    endpoint.deleted_at, endpoint.enabled = await now(session), False
    endpoint.secret, endpoint.held_until = b"", None
    await store.notify(session, endpoint.id)


async def disable(session: AsyncSession, endpoint_id: str, reason: str) -> None:
    """Send nothing more to an endpoint until its organization enables it again; what is pending ends unsent."""
    closed = {"enabled": False, "disabled_reason": reason, "held_until": None}
    await _update(session, endpoint_id, closed)
    await store.notify(session, endpoint_id)


async def hold(session: AsyncSession, endpoint_id: str, until: datetime) -> None:
    """Send nothing to an endpoint until then."""
    await _update(session, endpoint_id, {"held_until": func.greatest(col(Endpoint.held_until), until)})


async def note_failing(session: AsyncSession, endpoint_id: str, *, is_failing: bool) -> None:
    """Note whether the last attempt failed."""
    await _update(session, endpoint_id, {"failing": is_failing})


async def _update(session: AsyncSession, endpoint_id: str, values: dict[str, object]) -> None:
    statement = update(Endpoint).where(col(Endpoint.id) == endpoint_id).values(**values)
    await session.execute(statement.execution_options(synchronize_session=False))
