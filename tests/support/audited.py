"""Audit's tables and API, fed with a log that the test writes: everything is real but the broker in between."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from pydantic import SecretStr

from policy import canonical
from schemas.disclosures import Delivery
from schemas.events import Party
from services.audit import api, reading
from services.audit.pseudonyms import Pseudonyms
from services.kit.auth import Scope
from services.kit.broker import Record
from services.kit.database import Database, migrate
from services.kit.progress import advance, begin
from services.kit.reader import Apply
from services.kit.service import create_service
from tests.support.callers import Community, bearer, calling
from tests.support.disclosing import Answer, Disclosing
from tests.support.log import START

DELIVERED_AT = "2026-11-22T12:00:05Z"


@dataclass
class Audited:
    """A log, how far audit has read each topic, and a client of its API."""

    community: Community
    database: Database
    http: httpx.AsyncClient
    world: Disclosing = field(default_factory=Disclosing)
    read: dict[str, int] = field(default_factory=lambda: dict.fromkeys(reading_order(), 0))
    deliveries: list[Record] = field(default_factory=list)

    async def catch_up(self) -> None:
        """Apply all that stands on the three topics."""
        await self.apply(reading.EVENTS, reading.apply_events, self.events)
        await self.apply(reading.DISCLOSURES, reading.apply_disclosures, self.disclosures)
        await self.apply(reading.DELIVERIES, reading.apply_deliveries, self.deliveries)

    async def apply(self, topic: str, apply: Apply, records: Sequence[Record]) -> None:
        """Apply what is new of a topic as its reader does: rows and position in one transaction."""
        before = self.read[topic]
        if not records[before:]:
            return
        async with self.database.transaction() as session:
            await begin(session, topic, 0)
            await apply(session, records[before:])
            await advance(session, topic, {0: (before, len(records))})
        self.read[topic] = len(records)

    @property
    def events(self) -> list[Record]:
        """What stands on client-events."""
        return [
            Record(reading.EVENTS, 0, offset, each.timestamp, each.key, (), each.value)
            for offset, each in enumerate(self.world.log.records)
        ]

    @property
    def disclosures(self) -> list[Record]:
        """What stands on disclosures."""
        return [
            Record(reading.DISCLOSURES, 0, each.offset, START, each.key, (), each.value) for each in self.world.answers
        ]

    def becomes(self, answer: Answer, recipient: str, state: str, verdict: str, *categories: str, **more: Any) -> None:
        """Say on the deliveries topic what became of a decision."""
        client_id = (answer.key or b"").decode()
        said: dict[str, Any] = {
            "id": f"delivery-{len(self.deliveries)}",
            "decision_id": f"0/{answer.offset}/{recipient}",
            "client_id": client_id,
            "recipient": Party(organization=recipient),
            "channel": "webhook",
            "endpoint_id": "endpoint-1",
            "attempt": 1,
            "state": state,
            "verdict": verdict,
            "categories": categories,
            "time": DELIVERED_AT,
        }
        value = canonical.encode(Delivery(**said | more))
        self.deliveries.append(Record(reading.DELIVERIES, 0, len(self.deliveries), START, answer.key, (), value))

    async def get(self, organization: str | None, path: str, *scopes: Scope, **parameters: Any) -> httpx.Response:
        """Ask as an organization, with the scope audit:read unless told otherwise."""
        token = self.community.token(organization, scopes or (Scope.AUDIT_READ,))
        return await self.http.get(path, params=parameters, headers=bearer(token))

    async def decisions(self, organization: str | None, *scopes: Scope, **parameters: Any) -> list[dict[str, Any]]:
        """The rows that an organization reads."""
        answer = await self.get(organization, "/decisions", *scopes, **parameters)
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    async def accounting(self, organization: str, client_id: str) -> list[dict[str, Any]]:
        """The lines of a client's accounting that an organization reads."""
        answer = await self.get(organization, f"/clients/{client_id}/disclosures")
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items


def reading_order() -> tuple[str, ...]:
    """The topics that audit reads."""
    return reading.EVENTS, reading.DISCLOSURES, reading.DELIVERIES


@asynccontextmanager
async def audited(database_url: str) -> AsyncIterator[Audited]:
    """Bring up audit's tables and API in a fresh database."""
    community, url = Community(), SecretStr(database_url)
    migrate("audit", url)
    database = Database(url)
    settings = community.settings("audit")
    app = create_service(settings, routers=[api.router], database=database, clock=community.clock)
    app.state.pseudonyms = Pseudonyms.of(settings.assertion_key)
    async with calling(app, "audit") as http:
        yield Audited(community, database, http)
