"""The versions of a consent: under which signature something was sent, when it has been renewed since."""

from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy import null, select, union_all
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from schemas.events import Consent as ConsentRecord
from services.consent import bodies, store
from services.consent.tables import Consent, EarlierVersion
from services.kit.pages import Page, Paging

_RECORD: Final = msgspec.json.Decoder(ConsentRecord)


async def page(session: AsyncSession, recorder: str, consent_id: str, paging: Paging) -> Page[bodies.Version]:
    """Return a page of the versions of a consent that this organization recorded; Problem 404 for any other."""
    await store.own_consent(session, recorder, consent_id)
    earlier = select(
        col(EarlierVersion.order),
        col(EarlierVersion.record),
        col(EarlierVersion.recorded_at),
        col(EarlierVersion.replaced_at),
    ).where(col(EarlierVersion.consent_id) == consent_id)
    present = select(
        col(Consent.order), col(Consent.record), col(Consent.recorded_at), null().label("replaced_at")
    ).where(col(Consent.id) == consent_id)
    every = union_all(earlier, present).subquery()
    rows = (await session.execute(paging.window(select(every), every.c.order))).all()
    return paging.page(rows, lambda row: row.order, lambda row: _view(recorder, *row[1:]))


def _view(recorder: str, record: bytes, recorded_at: datetime, replaced_at: datetime | None) -> bodies.Version:
    consent = _RECORD.decode(record)
    return bodies.Version(
        version=consent.version,
        recorded_by=recorder,
        recorded_at=recorded_at,
        replaced_at=replaced_at,
        valid_from=consent.valid_from,
        expires_at=consent.expires_at,
        signed_on=max((signer.on for signer in consent.signers), default=None),
        form=bodies.Form.model_validate(consent, from_attributes=True),
    )
