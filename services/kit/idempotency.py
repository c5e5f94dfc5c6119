"""`Idempotency-Key` on creating POSTs: the effect and the answer commit together, and a repetition gets the answer.

A key is unique per caller's organization and route. Of two at once the second waits for the first's commit. A request
that failed leaves no trace, so it may be repeated with its key. Answers are kept for KEPT_HOURS at least. One-time
secrets are never stored: the answer to a repetition lacks them, and whoever lost one makes a new credential.
"""

import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Annotated, Any, Final, TypeVar

import psycopg
import sqlalchemy as sa
from fastapi import Depends, Header, Request, Response
from psycopg.types.json import Jsonb
from pydantic import BaseModel
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from services.kit.auth import Principal
from services.kit.database import Database, driver
from services.kit.direct import Transaction
from services.kit.problems import Problem

NAME: Final = "idempotency_keys"
KEPT_HOURS: Final = 48
KEPT: Final = timedelta(hours=KEPT_HOURS)
PRUNED_AT_ONCE: Final = 100
REPLAYED_HEADER: Final = "Idempotency-Replayed"

M = TypeVar("M", bound=BaseModel)
Effect = Callable[[AsyncSession], Awaitable[M]]
DirectEffect = Callable[[Transaction], Awaitable[M]]
Row = dict[str, Any]


def columns() -> list[sa.Column[Any]]:
    """Return the table's columns, for a service's first migration: `op.create_table(NAME, *columns())`.

    Neither key nor body is stored, only a hash of the key and a hash of the body keyed with it: identifiers in a body
    cannot be guessed from the table.
    """
    return [
        sa.Column("owner", sa.Text, primary_key=True),
        sa.Column("route", sa.Text, primary_key=True),
        sa.Column("key_hash", sa.LargeBinary, primary_key=True),
        sa.Column("request_hash", sa.LargeBinary, nullable=False),
        sa.Column("answer", JSONB),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now(), index=True),
    ]


def add_to(metadata: sa.MetaData) -> sa.Table:
    """Declare the table among a service's own."""
    return sa.Table(NAME, metadata, *columns())


KEYS: Final = add_to(sa.MetaData())
_PRUNE: Final = (
    "DELETE FROM idempotency_keys WHERE (owner, route, key_hash) IN (SELECT owner, route, key_hash"
    " FROM idempotency_keys WHERE owner = %(owner)s AND created_at < now() - %(kept)s LIMIT %(most)s"
    " FOR UPDATE SKIP LOCKED)"
)
_CLAIM: Final = (
    "INSERT INTO idempotency_keys (owner, route, key_hash, request_hash)"
    " VALUES (%(owner)s, %(route)s, %(key_hash)s, %(request_hash)s) ON CONFLICT DO NOTHING"
)
_FIND: Final = (
    "SELECT request_hash, answer FROM idempotency_keys"
    " WHERE owner = %(owner)s AND route = %(route)s AND key_hash = %(key_hash)s"
)
_KEEP: Final = (
    "UPDATE idempotency_keys SET answer = %(answer)s"
    " WHERE owner = %(owner)s AND route = %(route)s AND key_hash = %(key_hash)s"
)


class Creation:
    """One creating request: runs its effect at most once per key."""

    def __init__(self, request: Request, response: Response, key: str | None, body: bytes) -> None:
        self._database: Database = request.app.state.database
        self._response = response
        self._key = key
        self._route = f"{request.method} {request.scope['route'].path}"
        self._path = request.url.path.encode()
        self._body = body

    async def __call__(
        self,
        caller: Principal,
        answer: type[M],
        effect: Effect[M],
        *,
        secret: frozenset[str] = frozenset(),
        body: bytes | None = None,
    ) -> M:
        """Run `effect` in a transaction and return its answer, or the stored one when this request was done before.

        `secret` names the fields of the answer that are shown once and never stored; they must have a default. `body`
        stands for the request's own where that holds what could be guessed from its hash, by who guesses the key too.
        """
        async with self._database.transaction() as session:
            if self._key is None:
                return await effect(session)
            return await self._once(
                self._row(caller, self._key, body), await driver(session), answer, lambda: effect(session), secret
            )

    async def directly(self, caller: Principal, answer: type[M], effect: DirectEffect[M]) -> M:
        """Do the same without a session, for an effect of a few statements by hand."""
        async with self._database.direct.late_transaction() as transaction:
            if self._key is None:
                return await effect(transaction)
            connection = await transaction.connection()
            return await self._once(
                self._row(caller, self._key), connection, answer, lambda: effect(transaction), frozenset()
            )

    async def _once(
        self,
        row: Row,
        connection: psycopg.AsyncConnection,
        answer: type[M],
        effect: Callable[[], Awaitable[M]],
        secret: frozenset[str],
    ) -> M:
        if not await _claim(connection, row):
            return answer.model_validate(await self._stored(connection, row))
        made = await effect()
        shown = made.model_dump(mode="json", exclude=set(secret))
        await connection.execute(_KEEP, {**row, "answer": Jsonb(shown)})
        return made

    async def _stored(self, connection: psycopg.AsyncConnection, row: Row) -> dict[str, Any]:
        found = await (await connection.execute(_FIND, row)).fetchone()
        if found is None or not hmac.compare_digest(found[0], row["request_hash"]):
            raise Problem("idempotency-key-reused", field="Idempotency-Key")
        self._response.headers[REPLAYED_HEADER] = "true"
        stored: dict[str, Any] = found[1]
        return stored

    def _row(self, caller: Principal, key: str, body: bytes | None = None) -> Row:
        content = self._path + b"\n" + (self._body if body is None else body)
        return {
            "owner": caller.owner,
            "route": self._route,
            "key_hash": hashlib.sha256(key.encode()).digest(),
            "request_hash": hmac.digest(key.encode(), content, "sha256"),
        }


async def creation(
    request: Request,
    response: Response,
    key: Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=255)] = None,
) -> Creation:
    """Give a creating route its `once`."""
    return Creation(request, response, key, _canonical(await request.body()) if key else b"")


Once = Annotated[Creation, Depends(creation)]
"""Parameter of a creating route: `return await once(caller, Organization, lambda session: add(session, body))`."""


async def _claim(connection: psycopg.AsyncConnection, row: Row) -> bool:
    """Insert the key; False when it exists. Waits while another transaction is inserting the same."""
    await connection.execute(_PRUNE, {"owner": row["owner"], "kept": KEPT, "most": PRUNED_AT_ONCE})
    return (await connection.execute(_CLAIM, row)).rowcount == 1


def _canonical(body: bytes) -> bytes:
    """Let two spellings of the same JSON be the same request."""
    try:
        return json.dumps(json.loads(body), sort_keys=True).encode()
    except ValueError:  # no body, or one that the route will refuse
        return body
