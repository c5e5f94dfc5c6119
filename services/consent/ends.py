"""Says, once and by the database's clock, that a consent's time is over soon, to its recorder, or over, to the log.

A consent's row says when anything is to be said of it next, and is changed together with what is said: by however many
processes, after whatever restart or jump of the clock, nothing is said twice. What was revoked, entered in
error or lost has no end in time any more.
"""

import asyncio
from typing import Final

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from schemas.events import Consent as ConsentRecord
from schemas.events import HeldConsent
from services.consent import clients, ending, model, store
from services.consent.tables import Consent
from services.kit import logs
from services.kit.database import Database

LOOK_EVERY: Final = 1.0  # seconds
AT_ONCE: Final = 100  # consents between two looks
ENDED_OTHERWISE: Final = frozenset({"revoked", "entered-in-error", "lost"})

_RECORD: Final = msgspec.json.Decoder(ConsentRecord)
_DUE: Final = text("SELECT id, client_id FROM consents WHERE due_at <= clock_timestamp() ORDER BY due_at LIMIT :most")


async def keep_saying(database: Database) -> None:
    """Look for as long as the service runs."""
    while True:
        try:
            await look(database)
        except database.away as error:
            logs.get().warning("ends of consents wait for the database", **logs.describe(error))
        await asyncio.sleep(LOOK_EVERY)


async def look(database: Database) -> None:
    """Say what is due."""
    async with database.transaction() as session:
        due = (await session.execute(_DUE, {"most": AT_ONCE})).all()
    for consent_id, client_id in due:
        async with database.transaction() as session:
            await _say(session, consent_id, client_id)


async def _say(session: AsyncSession, consent_id: str, client_id: str) -> None:
    """Under the client's lock, as it is now: others may have said it, or the consent may have changed."""
    client = await clients.lock_known(session, client_id)
    row = await session.get(Consent, consent_id, populate_existing=True)
    if row is None or row.due_at is None or row.due_at > client.now:
        return
    grant = HeldConsent(order=row.order, recorder=row.recorder, consent=_RECORD.decode(row.record))
    row.due_at = ending.due_at(grant.consent, client.now)
    if model.status(row.decision, grant, client.consents, client.now) in ENDED_OTHERWISE:
        row.due_at = None
    elif row.due_at is None:
        await store.add_expiry(session, client, ending.expiry_change(client, grant))
    elif (notice := ending.notice(client, grant)) is not None:
        await store.add_notice(session, notice)
