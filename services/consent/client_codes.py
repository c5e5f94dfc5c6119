"""Queries of client codes: made, ended and typed, with a bound on what an organization may guess."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import delete, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from services.consent import clients
from services.consent.key_encryption import KeyEncryption
from services.consent.tables import Client, ClientCode, ClientLink, CodeGuess, Registration
from services.kit.bodies import Actor
from services.kit.database import now
from services.kit.keys import random_id
from services.kit.problems import Problem

UNNOTED: Final = ""
"""The origin of a client who was there before origins were noted."""
WRONG_CODES: Final = 10
WINDOW: Final = timedelta(minutes=10)
_GUESSES_LOCK: Final = 7_201
"""Any constant: the class of advisory locks under which an organization's guesses are counted."""
_ONE_AT_A_TIME: Final = text(f"SELECT pg_advisory_xact_lock({_GUESSES_LOCK}, hashtext(:organization))")


class Found(NamedTuple):
    """The client whose code it is, and where that person first came to."""

    client_id: str
    origin: str


async def index(encryption: KeyEncryption, said: str) -> bytes:
    """Return what a code is kept and found by."""
    return await encryption.index("client-code", said)


async def origin(session: AsyncSession, organization: str, client_id: str) -> str:
    """Return where a client that this organization registered first came to; Problem 404 for any other client.

    UNNOTED for whom it registered because a permit had given it the id, whoever that is: else the answer would tell
    such an organization whether the person first came to a victim service provider.
    """
    query = select(col(Client.origin), col(Registration.confirmed)).join(
        Registration, col(Registration.client_id) == col(Client.id)
    )
    registered = col(Registration.organization) == organization, col(Registration.via) == "registered"
    found = (await session.execute(query.where(col(Client.id) == client_id, *registered))).first()
    if found is None:
        raise Problem("not-found")
    return UNNOTED if found.confirmed else str(found.origin)


async def keep(
    session: AsyncSession, organization: str, client_id: str, code_index: bytes, valid: timedelta
) -> datetime:
    """Let a code be the client's, in place of any other; return when it ends."""
    made_at = await now(session)
    row = {"code_index": code_index, "organization": organization, "made_at": made_at, "expires_at": made_at + valid}
    kept = insert(ClientCode).values(client_id=client_id, **row)
    await session.execute(kept.on_conflict_do_update(index_elements=["client_id"], set_=row))
    return made_at + valid


async def end(session: AsyncSession, organization: str, client_id: str) -> None:
    """End a client's code, whoever made it, at any desk that knows the client; Problem 404 at any other."""
    if await session.get(Registration, (client_id, organization)) is None:
        raise Problem("not-found")
    await session.execute(delete(ClientCode).where(col(ClientCode.client_id) == client_id))


async def guess(session: AsyncSession, organization: str) -> str:
    """Count a guess before it is looked at, and return its id; Problem 429 when too many were wrong.

    Whoever guesses in many requests at once, at several processes, is counted one after the other.
    """
    await session.execute(_ONE_AT_A_TIME, {"organization": organization})
    at = await now(session)
    own, guessed_at = col(CodeGuess.organization) == organization, col(CodeGuess.guessed_at)
    recent = select(guessed_at).where(own, guessed_at > at - WINDOW).order_by(guessed_at)
    before: Sequence[datetime] = (await session.scalars(recent)).all()
    if len(before) >= WRONG_CODES:
        seconds = (before[0] + WINDOW - at) // timedelta(seconds=1) + 1
        raise Problem("too-many-guesses", headers={"Retry-After": str(seconds)})
    guess_id = random_id()
    await session.execute(insert(CodeGuess).values(id=guess_id, organization=organization, guessed_at=at))
    await session.execute(delete(CodeGuess).where(own, guessed_at <= at - WINDOW))
    return guess_id


async def was_right(session: AsyncSession, guess_id: str) -> None:
    """Take a guess back that was right."""
    await session.execute(delete(CodeGuess).where(col(CodeGuess.id) == guess_id))


async def find(session: AsyncSession, code_index: bytes) -> Found | None:
    """Return whose code this is now, and keep it so for this transaction: it is not ended while its link is made."""
    query = select(col(Client.id), col(Client.origin)).join(ClientCode, col(ClientCode.client_id) == col(Client.id))
    good = col(ClientCode.code_index) == code_index, col(ClientCode.expires_at) > func.clock_timestamp()
    row = (await session.execute(query.where(*good).with_for_update(of=ClientCode))).one_or_none()
    return None if row is None else Found(*row)


async def link(session: AsyncSession, organization: str, client_id: str, actor: Actor | None) -> None:
    """Let an organization be one that registered the client, and note who linked, and when."""
    await clients.join(session, organization, client_id)
    noted = {"client_id": client_id, "organization": organization, "linked_at": await now(session)}
    by = {"actor_id": actor.id if actor else None, "actor_role": actor.role if actor else None}
    await session.execute(insert(ClientLink).values(**noted, **by))
