"""What has become of a revocation: counted from the releases on either side of it.

Given before it is what carries a lower order than the revocation, since the client's row lock makes orders and lets
no release and no revocation pass each other. Such a release is open until it is settled (started is enough) or its
lease and margin have run out by the database's clock; then it is in doubt, for ever: a late word cannot say when the
request began. One from long ago that was never settled is as unsure, and is told at once. So is whatever stood before
a revocation that was taken back from the log: it was lost with the revocation's row.
"""

from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from schemas.events import Consent as ConsentRecord
from schemas.events import Revocation as RevocationRecord
from schemas.events import RevocationScope
from services.consent import bodies, store
from services.consent.tables import Revocation
from services.kit.problems import Problem

Condition = ColumnElement[bool]

_RECORD: Final = msgspec.json.Decoder(RevocationRecord)
_CONSENT: Final = msgspec.json.Decoder(ConsentRecord)

# What is de-identified or says no more than `closed` rests on no consent, so no revocation narrows it.
_IDENTIFYING: Final = "verdict IN ('permit', 'status')"
_GIVEN: Final[dict[RevocationScope, str]] = {
    "all": _IDENTIFYING,
    "consent": f"{_IDENTIFYING} AND :consent_id = ANY(consents)",
    "recipient": f"{_IDENTIFYING} AND recipient = :recipient",
    "category": ":category = ANY(categories)",
}
_LESS: Final = "(verdict <> asked_verdict OR cardinality(categories) < cardinality(asked_categories))"
_CUT: Final[dict[RevocationScope, str]] = {
    "all": _LESS,
    "consent": f"{_LESS} AND (:attested OR originator = :recorder) AND recipient = ANY(:to)"
    " AND (asked_categories && :categories OR asked_categories = '{}')",
    "recipient": f"{_LESS} AND recipient = :recipient",
    "category": ":category = ANY(asked_categories) AND NOT :category = ANY(categories)",
}
_COUNT: Final = """
WITH seen AS (
    SELECT decision_id, settled_at,
        :organization IN (originator, recipient) AS own,
        client_order < :order AND {given} AS given,
        client_order >= :order AND {cut} AS cut,
        greatest(doubt_at, :recorded_at) AS deadline
    FROM releases WHERE client_id = :client_id
), ended AS (
    SELECT *,
        given AND settled_at IS NULL AND statement_timestamp() < deadline AS open,
        given AND coalesce(settled_at, statement_timestamp()) >= deadline AS in_doubt
    FROM seen
)
SELECT
    count(*) FILTER (WHERE in_doubt AND own),
    count(*) FILTER (WHERE in_doubt AND NOT own),
    count(*) FILTER (WHERE open AND own),
    count(*) FILTER (WHERE open AND NOT own),
    max(least(settled_at, deadline)) FILTER (WHERE given),
    count(DISTINCT decision_id) FILTER (WHERE cut AND own)
FROM ended
"""


def _count_for(scope: RevocationScope) -> TextClause:
    statement = text(_COUNT.format(given=_GIVEN[scope], cut=_CUT[scope]))
    if scope != "consent":
        return statement
    return statement.bindparams(bindparam("to", type_=ARRAY(TEXT)), bindparam("categories", type_=ARRAY(TEXT)))


_COUNTS: Final = {scope: _count_for(scope) for scope in _GIVEN}


class _Counts(NamedTuple):
    """Releases in doubt and open, the caller's own and others'; when the last one ended; decisions cut since."""

    in_doubt: int
    others_in_doubt: int
    open: int
    others_open: int
    ended_at: datetime | None
    withheld: int


async def of(session: AsyncSession, desk: str, revocation_id: str) -> bodies.Receipt:
    """Return the receipt of a revocation that this desk recorded; Problem 404 for any other."""
    return await _newest(session, desk, col(Revocation.id) == revocation_id)


async def of_client(session: AsyncSession, desk: str, client_id: str, revocation_id: str | None) -> bodies.Receipt:
    """As `of`, for a client: the newest one if none is named."""
    return await _newest(session, desk, col(Revocation.client_id) == client_id, *_named(revocation_id))


async def of_consent(session: AsyncSession, desk: str, consent_id: str, revocation_id: str | None) -> bodies.Receipt:
    """As `of`, for a consent: the newest one if none is named."""
    return await _newest(session, desk, col(Revocation.consent_id) == consent_id, *_named(revocation_id))


def _named(revocation_id: str | None) -> list[Condition]:
    return [] if revocation_id is None else [col(Revocation.id) == revocation_id]


async def _newest(session: AsyncSession, desk: str, *conditions: Condition) -> bodies.Receipt:
    query = select(Revocation).where(col(Revocation.organization) == desk, *conditions)
    found = (await session.execute(query.order_by(col(Revocation.order).desc()).limit(1))).scalar_one_or_none()
    if found is None:
        raise Problem("not-found")
    return await _receipt(session, found)


async def _receipt(session: AsyncSession, revocation: Revocation) -> bodies.Receipt:
    record = _RECORD.decode(revocation.record)
    counts = await _count(session, revocation, record)
    effective_at = _effective_at(revocation.accepted_at, counts)
    return bodies.Receipt(
        id=revocation.id,
        client_id=revocation.client_id,
        scope=record.scope,
        state="effective" if effective_at else "accepted" if revocation.accepted_at else "recorded",
        recorded_at=revocation.recorded_at,
        accepted_at=revocation.accepted_at,
        effective_at=effective_at,
        withheld=counts.withheld,
        in_doubt=max(counts.in_doubt, int(revocation.taken_back)),
        others="in_doubt" if revocation.taken_back else _others(counts),
    )


async def _count(session: AsyncSession, revocation: Revocation, record: RevocationRecord) -> _Counts:
    about = {
        "client_id": revocation.client_id,
        "organization": revocation.organization,
        "order": revocation.order,
        "recorded_at": revocation.recorded_at,
    }
    return _Counts(*(await session.execute(_COUNTS[record.scope], about | await _scope(session, record))).one())


async def _scope(session: AsyncSession, record: RevocationRecord) -> dict[str, Any]:
    match record.scope:
        case "all":
            return {}
        case "recipient":
            return {"recipient": record.recipient}
        case "category":
            return {"category": record.category}
        case "consent":
            return await _scope_of_consent(session, record.consent_id or "")


async def _scope_of_consent(session: AsyncSession, consent_id: str) -> dict[str, Any]:
    consent = await store.consent(session, consent_id)
    if consent is None:  # lost with a database; the revocation was taken back from the log
        return {"consent_id": consent_id, "recorder": "", "attested": False, "to": [], "categories": []}
    granted = _CONSENT.decode(consent.record)
    return {
        "consent_id": consent_id,
        "recorder": consent.recorder,
        "attested": consent.attested,
        "to": list(granted.to),
        "categories": list(granted.categories),
    }


def _effective_at(accepted_at: datetime | None, counts: _Counts) -> datetime | None:
    """When the log had it and nothing given out before could begin any more; None while that is not so."""
    if accepted_at is None or counts.open or counts.others_open:
        return None
    return max(accepted_at, counts.ended_at or accepted_at)


def _others(counts: _Counts) -> Literal["done", "pending", "in_doubt"]:
    if counts.others_open:
        return "pending"
    return "in_doubt" if counts.others_in_doubt else "done"
