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

import sqlalchemy as sa
from fastapi import Depends, Header, Request, Response
from pydantic import BaseModel
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.kit.auth import Principal
from services.kit.database import Database
from services.kit.problems import Problem

NAME: Final = "idempotency_keys"
KEPT_HOURS: Final = 48
PRUNED_AT_ONCE: Final = 100
REPLAYED_HEADER: Final = "Idempotency-Replayed"

M = TypeVar("M", bound=BaseModel)
Effect = Callable[[AsyncSession], Awaitable[M]]


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


class Creation:
    """One creating request: runs its effect at most once per key."""

    def __init__(self, request: Request, response: Response, key: str | None, body: bytes) -> None:
        self._database: Database = request.app.state.database
        self._response = response
        self._key = key
        self._route = f"{request.method} {request.scope['route'].path}"
        self._content = request.url.path.encode() + b"\n" + body

    async def __call__(
        self, caller: Principal, answer: type[M], effect: Effect[M], *, secret: frozenset[str] = frozenset()
    ) -> M:
        """Run `effect` in a transaction and return its answer, or the stored one when this request was done before.

        `secret` names the fields of the answer that are shown once and never stored; they must have a default.
        """
        async with self._database.transaction() as session:
            if self._key is None:
                return await effect(session)
            row = self._row(caller, self._key)
            if not await _claim(session, row):
                return answer.model_validate(await self._stored(session, row))
            made = await effect(session)
            await session.execute(
                sa.update(KEYS).where(*_is(row)).values(answer=made.model_dump(mode="json", exclude=set(secret)))
            )
            return made

    async def _stored(self, session: AsyncSession, row: dict[str, Any]) -> dict[str, Any]:
        found = (await session.execute(sa.select(KEYS.c.request_hash, KEYS.c.answer).where(*_is(row)))).one()
        if not hmac.compare_digest(found.request_hash, row["request_hash"]):
            raise Problem("idempotency-key-reused", field="Idempotency-Key")
        self._response.headers[REPLAYED_HEADER] = "true"
        stored: dict[str, Any] = found.answer
        return stored

    def _row(self, caller: Principal, key: str) -> dict[str, Any]:
        return {
            "owner": caller.owner,
            "route": self._route,
            "key_hash": hashlib.sha256(key.encode()).digest(),
            "request_hash": hmac.digest(key.encode(), self._content, "sha256"),
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


async def _claim(session: AsyncSession, row: dict[str, Any]) -> bool:
    """Insert the key; False when it exists. Waits while another transaction is inserting the same."""
    await session.execute(_prune(row["owner"]))
    inserted = await session.execute(insert(KEYS).values(row).on_conflict_do_nothing().returning(KEYS.c.owner))
    return inserted.first() is not None


def _prune(owner: str) -> sa.Delete:
    identity = (KEYS.c.owner, KEYS.c.route, KEYS.c.key_hash)
    expired = KEYS.c.created_at < sa.func.now() - timedelta(hours=KEPT_HOURS)
    some = sa.select(*identity).where(KEYS.c.owner == owner, expired).limit(PRUNED_AT_ONCE)
    return sa.delete(KEYS).where(sa.tuple_(*identity).in_(some.with_for_update(skip_locked=True)))


def _is(row: dict[str, Any]) -> list[sa.ColumnElement[bool]]:
    return [KEYS.c[name] == row[name] for name in ("owner", "route", "key_hash")]


def _canonical(body: bytes) -> bytes:
    """Let two spellings of the same JSON be the same request."""
    try:
        return json.dumps(json.loads(body), sort_keys=True).encode()
    except ValueError:  # no body, or one that the route will refuse
        return body
