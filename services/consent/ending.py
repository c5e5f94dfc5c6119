"""The end of a consent in time: when something is to be said of it, and what. Pure."""

from datetime import datetime

from schemas.events import Consent as ConsentRecord
from schemas.events import ConsentData, HeldConsent
from schemas.records import ConsentExpired, ConsentGranted
from services.consent.model import Change, Locked, context, recorded, signed
from services.kit.keys import random_id


def due_at(consent: ConsentRecord, now: datetime) -> datetime | None:
    """When something is to be said next of a consent's end; None if nothing is any more."""
    return consent.expires_at if consent.expires_at is not None and consent.expires_at > now else None


def first_due_at(change: Change, now: datetime) -> datetime | None:
    """The same of what is recorded now: only what is permitted ends in time."""
    return due_at(change.event.data.consent, now) if isinstance(change.event, ConsentGranted) else None


def expiry_change(client: Locked, grant: HeldConsent) -> Change:
    """What saying that a consent's time is over changes: nothing but the last order."""
    data = ConsentData(**signed(client, None, grant.recorder), consent=grant.consent)
    return recorded(client, grant.consent, ConsentExpired(**context(random_id(), client.now), data=data))
