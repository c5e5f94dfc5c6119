"""Clients, their keys and identifiers, and which organizations know them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec
import psycopg
from sqlalchemy import bindparam, or_, text, tuple_, update
from sqlalchemy.dialects.postgresql import ARRAY, BIGINT, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from policy import canonical, consents
from schemas.events import ClientConsents
from services.consent.key_encryption import KeyEncryption, Place
from services.consent.model import Locked
from services.consent.tables import Client, Identifier, Registration
from services.kit.client_keys import DEFAULT_SUITE, generate_client_keys
from services.kit.keys import random_id
from services.kit.problems import Problem

_CONSENTS: Final = msgspec.json.Decoder(ClientConsents)

# The time is read outside the locked part: inside, it would be when the wait for the lock began. The common table
# makes one round trip of both.
_LOCK: Final = text(
    "WITH locked AS MATERIALIZED ("
    " SELECT c.last_order, c.consents, r.via FROM clients c"
    " JOIN registrations r ON r.client_id = c.id AND r.organization = :organization"
    " WHERE c.id = :client_id FOR UPDATE OF c"
    ") SELECT last_order, consents, via, clock_timestamp() FROM locked"
)
_LOCK_KNOWN: Final = text(
    "WITH locked AS MATERIALIZED (SELECT last_order, consents FROM clients WHERE id = :client_id FOR UPDATE)"
    " SELECT last_order, consents, clock_timestamp() FROM locked"
)
_LOCK_IDENTIFIERS: Final = text("SELECT pg_advisory_xact_lock(one) FROM unnest(:locks) AS one").bindparams(
    bindparam("locks", type_=ARRAY(BIGINT))
)


_REGISTERED: Final = (
    "SELECT key_id, suite, public_key, consents, clock_timestamp()"
    " FROM clients JOIN registrations ON client_id = id AND organization = %(organization)s AND via = 'registered'"
    " WHERE id = %(client_id)s"
)


class Sealable(NamedTuple):
    """A client's public key, and what may cross about the client, as they are now."""

    key_id: str
    suite: str
    public_key: str
    consents: bytes
    now: datetime


class Known(NamedTuple):
    """An identifier as it is kept: the system, whose it is if it is somebody's own, and the index of the value."""

    system: str
    owner: str
    value_index: bytes

    @property
    def lock(self) -> int:
        """The advisory lock under which it is looked up and taken."""
        return int.from_bytes(self.value_index[:8], signed=True)


class NewKeys(NamedTuple):
    """A client that may come to be: its id and its key pair, the private key encrypted."""

    client_id: str
    key_id: str
    public_key: str
    encrypted: bytes


def private_key_of(client_id: str) -> Place:
    """Say where a client's private key stands."""
    return Place("clients", "private_key", client_id)


async def new_keys(encryption: KeyEncryption) -> NewKeys:
    """Make an id and a key pair. Made for every registration, so that a known person is answered no faster."""
    client_id, pair = random_id(), generate_client_keys(DEFAULT_SUITE)
    encrypted = await encryption.encrypt(pair.private_key, private_key_of(client_id))
    return NewKeys(client_id, random_id(), pair.public_key, encrypted)


async def register(session: AsyncSession, organization: str, identifiers: Sequence[Known], new: NewKeys) -> str:
    """Register the person with these identifiers for an organization; return the client id.

    The first identifier that is known decides who it is. One that is known for somebody else is left as it is: two
    clients are never made one here.
    """
    # In one order, so that two registrations of one person wait for each other and do not deadlock.
    await session.execute(_LOCK_IDENTIFIERS, {"locks": sorted({each.lock for each in identifiers})})
    client_id = await _find(session, identifiers)
    if client_id is None:
        client_id = new.client_id
        await session.execute(insert(Client).values(_row(new, organization)))
    if identifiers:
        rows = [{**each._asdict(), "client_id": client_id} for each in identifiers]
        await session.execute(insert(Identifier).values(rows).on_conflict_do_nothing())
    await join(session, organization, client_id)
    return client_id


async def join(session: AsyncSession, organization: str, client_id: str) -> None:
    """Let an organization be one that registered a client."""
    taken = insert(Registration).values(client_id=client_id, organization=organization, via="registered")
    await session.execute(
        taken.on_conflict_do_update(index_elements=["client_id", "organization"], set_={"via": "registered"})
    )


async def confirm(session: AsyncSession, organization: str, client_id: str) -> None:
    """Register a client for an organization that registered it before or was given its id; else Problem 404."""
    known = await session.execute(
        update(Registration)
        .where(col(Registration.client_id) == client_id, col(Registration.organization) == organization)
        .values(via="registered", confirmed=or_(col(Registration.confirmed), col(Registration.via) == "given"))
        .returning(col(Registration.client_id))
    )
    if known.first() is None:
        raise Problem("not-found")


async def lock(session: AsyncSession, organization: str, client_id: str) -> Locked:
    """Lock a client for whatever says more or less about it, for an organization that knows it; else Problem 404.

    Waits for the releases that are being recorded; those that come later wait for the caller's commit.
    """
    row = (await session.execute(_LOCK, {"client_id": client_id, "organization": organization})).one_or_none()
    if row is None:
        raise Problem("not-found")
    last_order, state, via, now = row
    return Locked(client_id, last_order, read_consents(state), via, now)


async def lock_known(session: AsyncSession, client_id: str) -> Locked:
    """Lock a client that exists, for what the service itself has to say."""
    last_order, state, now = (await session.execute(_LOCK_KNOWN, {"client_id": client_id})).one()
    return Locked(client_id, last_order, read_consents(state), "registered", now)


async def registered(connection: psycopg.AsyncConnection, organization: str, client_id: str) -> Sealable:
    """Return what can be sealed to a client that this organization registered; Problem 404 for any other."""
    asked = {"client_id": client_id, "organization": organization}
    row = await (await connection.execute(_REGISTERED, asked, binary=True)).fetchone()
    if row is None:
        raise Problem("not-found")
    return Sealable(*row)


def read_consents(state: bytes) -> ClientConsents:
    """Read what `policy.consents` has folded of a client's records."""
    return _CONSENTS.decode(state)


async def _find(session: AsyncSession, identifiers: Sequence[Known]) -> str | None:
    key = tuple_(col(Identifier.system), col(Identifier.owner), col(Identifier.value_index))
    rows = await session.execute(
        select(Identifier.system, Identifier.owner, Identifier.value_index, Identifier.client_id).where(
            key.in_(identifiers)
        )
    )
    found = {Known(system, owner, value_index): client_id for system, owner, value_index, client_id in rows}
    return next((found[each] for each in identifiers if each in found), None)


def _row(new: NewKeys, origin: str) -> dict[str, Any]:
    return {
        "id": new.client_id,
        "origin": origin,
        "key_id": new.key_id,
        "suite": DEFAULT_SUITE,
        "public_key": new.public_key,
        "private_key": new.encrypted,
        "last_order": 0,
        "consents": canonical.encode(consents.NONE),
    }
