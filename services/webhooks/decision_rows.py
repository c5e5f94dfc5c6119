"""Queries of decisions: each is an item of an inbox, with a delivery to each endpoint that is told.

Every delivery of a decision passes here: see store.
"""

from collections.abc import Sequence
from typing import Any, Final

from psycopg import AsyncConnection
from sqlalchemy import text

from services.kit.keys import random_id
from services.webhooks.signatures import webhook_id
from services.webhooks.told import Told, encode, wants

DECISIONS_LOCK: Final = 7_201_865_305
"""Any constant: decisions commit in the order of their positions, so that no inbox cursor passes one by."""

# Of a referral that was entered in error nothing but the word of that goes out, whichever came first: of two members
# the log has no order. For the columns of any statement that begins an attempt on `decisions`.
IS_VOID: Final = (
    "(decisions.verdict <> 'status' AND EXISTS (SELECT FROM decisions AS error"
    " WHERE error.organization = decisions.organization AND error.referral_id = decisions.referral_id"
    " AND error.in_error))"
)

LOCK_DECISIONS: Final = text(f"SELECT pg_advisory_xact_lock({DECISIONS_LOCK})")
_ADD_DECISIONS: Final = (
    "INSERT INTO decisions (id, organization, referral_id, client_id, verdict, in_error, told)"
    " SELECT id, organization, referral_id, client_id, verdict, in_error, told"
    "  FROM unnest(CAST(%(ids)s AS text[]), CAST(%(organizations)s AS text[]), CAST(%(referral_ids)s AS text[]),"
    "   CAST(%(client_ids)s AS text[]), CAST(%(verdicts)s AS text[]), CAST(%(in_errors)s AS boolean[]),"
    "   CAST(%(told)s AS bytea[]))"
    "  WITH ORDINALITY AS said(id, organization, referral_id, client_id, verdict, in_error, told, place) ORDER BY place"
    " ON CONFLICT DO NOTHING RETURNING id, number"
)
_OPEN_ENDPOINTS: Final = (
    "SELECT id, organization, types FROM endpoints"
    " WHERE organization = ANY(CAST(%(organizations)s AS text[])) AND enabled AND deleted_at IS NULL"
)
_ADD_DELIVERIES: Final = (
    "INSERT INTO deliveries (id, decision, endpoint_id, webhook_id, state, due_at)"
    " SELECT id, decision, endpoint_id, webhook_id, 'pending', clock_timestamp()"
    " FROM unnest(CAST(%(ids)s AS text[]), CAST(%(decisions)s AS bigint[]), CAST(%(endpoint_ids)s AS text[]),"
    "  CAST(%(webhook_ids)s AS text[])) WITH ORDINALITY AS said(id, decision, endpoint_id, webhook_id, place)"
    " ORDER BY place"
)


async def add(connection: AsyncConnection, told: Sequence[Told], id_key: bytes) -> set[str]:
    """Add what organizations are told: an inbox item each, and a delivery to each endpoint that wants it.

    Return the ids of these endpoints, to be woken once this transaction has committed.
    """
    if not told:
        return set()
    await connection.execute(LOCK_DECISIONS.text)
    organizations = list({each.party.organization for each in told})
    endpoints = await (await connection.execute(_OPEN_ENDPOINTS, {"organizations": organizations})).fetchall()
    deliveries = [
        (number, each, endpoint_id)
        for number, each in await _add_decisions(connection, told)
        for endpoint_id, organization, types in endpoints
        if organization == each.party.organization and wants(types, each.types)
    ]
    if deliveries:
        await connection.execute(_ADD_DELIVERIES, _columns(deliveries, id_key))
    return {endpoint_id for _, _, endpoint_id in deliveries}


async def _add_decisions(connection: AsyncConnection, told: Sequence[Told]) -> list[tuple[int, Told]]:
    """Return those that are new with their numbers, in this order; of two recipients of the very same name the first.

    In one statement: this is on the way of everything that is delivered.
    """
    first = {each.id: each for each in reversed(told)}
    columns = {
        "ids": [each.id for each in told],
        "organizations": [each.party.organization for each in told],
        "referral_ids": [each.event.data.referral.id for each in told],
        "client_ids": [each.event.data.client_id for each in told],
        "verdicts": [each.verdict for each in told],
        "in_errors": [each.in_error for each in told],
        "told": [encode(each) for each in told],
    }
    added = await connection.execute(_ADD_DECISIONS, columns)
    return [(number, first[id_]) for id_, number in await added.fetchall()]


def _columns(deliveries: Sequence[tuple[int, Told, str]], id_key: bytes) -> dict[str, Any]:
    return {
        "ids": [random_id() for _ in deliveries],
        "decisions": [number for number, _, _ in deliveries],
        "endpoint_ids": [endpoint_id for _, _, endpoint_id in deliveries],
        "webhook_ids": [webhook_id(id_key, told.id, endpoint_id) for _, told, endpoint_id in deliveries],
    }
