"""Queries of notices: each is kept once, with a delivery to each endpoint told, and perhaps a place in an inbox.

What it makes stale is not sent. Deliveries, attempts and replays are those of everything else: see store.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from psycopg import AsyncConnection
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.kit.keys import random_id
from services.webhooks.decision_rows import LOCK_DECISIONS
from services.webhooks.notices import AVAILABILITY_TYPE, Notice
from services.webhooks.signatures import webhook_id

KEPT_FOR: Final = timedelta(days=30)
"""Much longer than anything is retried; what was told of beds is a matter of days, and there is much of it.

What stands in an inbox stays there."""
FORGOTTEN_AT_ONCE: Final = 500

_ENDPOINTS: Final = (
    "SELECT id, organization, types, test FROM endpoints WHERE enabled AND deleted_at IS NULL"
    " AND (organization = ANY(CAST(%(organizations)s AS text[])) OR %(public)s AND %(availability)s = ANY(types))"
)
_ADD_NOTICES: Final = (
    "INSERT INTO notices (id, type, body, inbox, position)"
    " SELECT id, type, body, inbox,"
    "  CASE WHEN inbox IS NOT NULL THEN nextval(pg_get_serial_sequence('decisions', 'position')) END"
    " FROM unnest(CAST(%(ids)s AS text[]), CAST(%(types)s AS text[]), CAST(%(bodies)s AS bytea[]),"
    "  CAST(%(inboxes)s AS text[])) WITH ORDINALITY AS said(id, type, body, inbox, place) ORDER BY place"
    " ON CONFLICT DO NOTHING RETURNING id, number"
)
_ADD_DELIVERIES: Final = (
    "INSERT INTO deliveries (id, notice, endpoint_id, webhook_id, unit_id, unit_version, state, due_at)"
    " SELECT id, notice, endpoint_id, webhook_id, unit_id, unit_version, 'pending', clock_timestamp()"
    " FROM unnest(CAST(%(ids)s AS text[]), CAST(%(notices)s AS bigint[]), CAST(%(endpoint_ids)s AS text[]),"
    "  CAST(%(webhook_ids)s AS text[]), CAST(%(unit_ids)s AS text[]), CAST(%(versions)s AS bigint[]))"
    "  WITH ORDINALITY AS said(id, notice, endpoint_id, webhook_id, unit_id, unit_version, place) ORDER BY place"
)
# Whoever is told, or nobody: what an endpoint had before it was disabled may be asked for again when it is not.
_KNOW: Final = (
    "INSERT INTO unit_versions AS known (unit_id, version)"
    " SELECT unit_id, version FROM unnest(CAST(%(unit_ids)s AS text[]), CAST(%(versions)s AS bigint[]))"
    "  AS said(unit_id, version) ORDER BY unit_id"
    " ON CONFLICT (unit_id) DO UPDATE SET version = excluded.version WHERE known.version < excluded.version"
)
# One on its way is left alone: should it have to be sent again, it is found stale then.
_SUPERSEDE: Final = (
    "UPDATE deliveries d SET state = 'not_sent'"
    " FROM unnest(CAST(%(unit_ids)s AS text[]), CAST(%(versions)s AS bigint[])) AS said(unit_id, version)"
    " WHERE d.unit_id = said.unit_id AND d.unit_version < said.version AND d.state = 'pending'"
)
_FORGET: Final = text(
    "WITH old AS (SELECT number FROM notices WHERE inbox IS NULL"
    "  AND created_at < now() - CAST(:age AS interval) LIMIT :most),"
    " told AS (SELECT number FROM deliveries WHERE notice IN (SELECT number FROM old)),"
    " tried AS (DELETE FROM attempts WHERE delivery IN (SELECT number FROM told)),"
    " sent AS (DELETE FROM deliveries WHERE number IN (SELECT number FROM told))"
    " DELETE FROM notices WHERE number IN (SELECT number FROM old)"
)


async def add(connection: AsyncConnection, notices: Sequence[Notice], id_key: bytes) -> set[str]:
    """Add what is told; return the ids of the endpoints to which something became due, to be woken after the commit."""
    units = [each for each in notices if each.unit_id is not None]
    versions = {"unit_ids": [each.unit_id for each in units], "versions": [each.version for each in units]}
    if units:
        await connection.execute(_KNOW, versions)
    endpoints = await (await connection.execute(_ENDPOINTS, _whom(notices))).fetchall()
    told = {
        notice: ids
        for notice in notices
        if (ids := [id_ for id_, whose, types, test in endpoints if notice.is_for(whose, types, test=test)])
        or notice.inbox is not None
    }
    if not told:
        return set()
    numbers = await _numbers(connection, list(told))
    deliveries = [(numbers[each.id], each, id_) for each, ids in told.items() if each.id in numbers for id_ in ids]
    await connection.execute(_ADD_DELIVERIES, _columns(deliveries, id_key))
    await connection.execute(_SUPERSEDE, versions)
    return {endpoint_id for _, _, endpoint_id in deliveries}


async def forget(session: AsyncSession) -> None:
    """Delete notices, with their deliveries and attempts, that are older than KEPT_FOR and stand in no inbox."""
    await session.execute(_FORGET, {"age": KEPT_FOR, "most": FORGOTTEN_AT_ONCE})


def _whom(notices: Sequence[Notice]) -> dict[str, Any]:
    return {
        "organizations": sorted({name for notice in notices for name in notice.organizations or ()}),
        "public": any(notice.organizations is None for notice in notices),
        "availability": AVAILABILITY_TYPE,
    }


async def _numbers(connection: AsyncConnection, notices: Sequence[Notice]) -> dict[str, int]:
    """Insert notices, and return the numbers of those that are new, by id."""
    if any(each.inbox is not None for each in notices):
        await connection.execute(LOCK_DECISIONS.text)
    columns = {
        "ids": [each.id for each in notices],
        "types": [each.written.type for each in notices],
        "bodies": [each.written.body for each in notices],
        "inboxes": [each.inbox for each in notices],
    }
    return dict(await (await connection.execute(_ADD_NOTICES, columns)).fetchall())


def _columns(deliveries: Sequence[tuple[int, Notice, str]], id_key: bytes) -> dict[str, Any]:
    return {
        "ids": [random_id() for _ in deliveries],
        "notices": [number for number, _, _ in deliveries],
        "endpoint_ids": [endpoint_id for _, _, endpoint_id in deliveries],
        "webhook_ids": [webhook_id(id_key, notice.id, endpoint_id) for _, notice, endpoint_id in deliveries],
        "unit_ids": [notice.unit_id for _, notice, _ in deliveries],
        "versions": [notice.version for _, notice, _ in deliveries],
    }
