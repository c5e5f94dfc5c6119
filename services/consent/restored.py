"""Makes a restored database fit to be served from: it takes back from the log what narrowed, and trusts no old key."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from typing import Any, Final

import psycopg
from pydantic import SecretStr

from policy import canonical
from policy.consents import cut_of, held_of
from policy.murmur2 import partition_of
from policy.parse import Refused, parse
from schemas.events import ClientConsents, Consent, ConsentData, Revocation, RevocationData
from schemas.records import (
    ConsentExcluded,
    ConsentGranted,
    ConsentRefused,
    ConsentRevoked,
    Event,
)
from services.consent import restating
from services.consent.asked import LEASE_SECONDS
from services.consent.clients import read_consents
from services.consent.lost import is_behind, with_what_narrows, without_older
from services.consent.model import EPOCH
from services.consent.releases import MARGIN_SECONDS
from services.consent.store import TOPIC
from services.kit import logs, topics
from services.kit.broker import Record, read_all
from services.kit.connecting import Kafka
from services.kit.control import ControlView
from services.kit.database import Database
from services.kit.restored import alone

AT_ONCE: Final = 1000  # clients
Lost = Mapping[str, ClientConsents]

_HELD: Final = "SELECT id, last_order, consents FROM clients WHERE id = ANY(%(ids)s)"
_LOCK: Final = "SELECT last_order, consents, clock_timestamp() FROM clients WHERE id = %(id)s FOR UPDATE"
_TAKE_BACK: Final = "UPDATE clients SET last_order = %(order)s, consents = %(consents)s WHERE id = %(id)s"
_PLACED: Final = "recorded_at, accepted_at, log_partition, log_offset"
_PLACE: Final = "%(recorded_at)s, %(accepted_at)s, %(partition)s, %(offset)s"
_CONSENT: Final = (
    f'INSERT INTO consents (id, client_id, recorder, decision, attested, "order", record, {_PLACED})'  # noqa: S608 - constants
    f" VALUES (%(id)s, %(client_id)s, %(organization)s, %(decision)s, false, %(order)s, %(record)s, {_PLACE})"
    " ON CONFLICT (id) DO NOTHING"
)
_REVOCATION: Final = (
    f'INSERT INTO revocations (id, client_id, organization, consent_id, "order", record, taken_back, {_PLACED})'  # noqa: S608 - constants
    f" VALUES (%(id)s, %(client_id)s, %(organization)s, %(consent_id)s, %(order)s, %(record)s, true, {_PLACE})"
    " ON CONFLICT (id) DO NOTHING"
)
_IN_DOUBT: Final = (
    "UPDATE releases SET doubt_at = clock_timestamp() WHERE settled_at IS NULL AND doubt_at > clock_timestamp()"
)
_NO_CARDS: Final = "DELETE FROM client_codes"


async def declared(kafka: Kafka, url: SecretStr) -> str:  # noqa: ARG001 - it reads the log when it starts
    """Do what follows from a restored database whatever the log says; return what to tell its operator."""
    database = Database(url)
    try:
        await database.migrate("consent")
        async with database.transaction() as session:
            await alone(session, "consent")
            await _trust_nothing(database)
    finally:
        await database.close()
    await _leases_over()
    return "What was given out is in doubt, and no code on a card counts any more: start consent, then make new cards."


async def take_back(database: Database, kafka: Kafka, view: ControlView) -> None:
    """Take back what narrows, and no grant, for each client of whom the log has more than the tables.

    What the log permits beyond that ends there by a restatement of the client, or the boundary would go on with it.
    For before anything is served or sent. Tables that have lost something are trusted with nothing else either.
    """
    lost, unknown = await _lost(database, view)
    if unknown:  # nobody can open what was sealed to them: their keys are lost too
        logs.get().warning("the log speaks of clients that the tables do not have", count=unknown)
    if not lost:
        return
    logs.get().error("the tables were behind the log: what narrowed is taken back from it", count=len(lost))
    await _trust_nothing(database)
    records = await _records(kafka, lost)
    for client_id, said in lost.items():
        async with database.direct.transaction() as connection:
            await _take_back(connection, client_id, said, records[client_id])
    await _leases_over()


async def _trust_nothing(database: Database) -> None:
    async with database.direct.transaction() as connection:
        await connection.execute(_IN_DOUBT)
        await connection.execute(_NO_CARDS)


async def _leases_over() -> None:
    """Wait until nothing can begin any more under a release that was lost: no receipt could count it."""
    await asyncio.sleep(LEASE_SECONDS + MARGIN_SECONDS)


async def _lost(database: Database, view: ControlView) -> tuple[Lost, int]:
    """Return what was said of each client whose row lacks some of it, and how many clients have no row."""
    lost, unknown, everybody = {}, 0, view.said_of_clients()
    async with database.direct.connection() as connection:
        while some := dict(islice(everybody, AT_ONCE)):
            rows = await (await connection.execute(_HELD, {"ids": list(some)}, binary=True)).fetchall()
            unknown += len(some) - len(rows)
            for client_id, last_order, state in rows:
                said = some[client_id]
                if is_behind(last_order, read_consents(state), said):
                    lost[client_id] = said
    return lost, unknown


@dataclass
class _Records:
    """Of one client: the rows of what narrowed, by order, and the newest order of each consent that was granted."""

    narrowings: dict[int, dict[str, Any]] = field(default_factory=dict)
    granted: dict[str, int] = field(default_factory=dict)

    def add(self, record: Record, said: ClientConsents) -> None:
        """Take note of a record; the first one of each order counts, as it did on the log."""
        try:
            event = parse(record.value)
        except Refused:
            return
        if isinstance(event, ConsentGranted) and event.data.order <= said.mark:
            of = event.data.consent.id
            self.granted[of] = max(self.granted.get(of, 0), event.data.order)
        elif row := _row(record, event, said):
            self.narrowings.setdefault(row["order"], row)


async def _take_back(
    connection: psycopg.AsyncConnection, client_id: str, said: ClientConsents, records: _Records
) -> None:
    row = await (await connection.execute(_LOCK, {"id": client_id}, binary=True)).fetchone()
    if row is None:
        raise RuntimeError("clients are never deleted")
    last_order, state, now = row
    held = with_what_narrows(without_older(read_consents(state), records.granted), said)
    order = max(last_order, said.mark)
    if not await restating.restate(connection, client_id, order, held, now):
        logs.get().error("what was lost of a client stays on the log: the complete state does not fit one record")
        await connection.execute(_TAKE_BACK, {"id": client_id, "order": order, "consents": canonical.encode(held)})
    for narrowing in records.narrowings.values():
        await connection.execute(_REVOCATION if narrowing["decision"] is None else _CONSENT, narrowing)


async def _records(kafka: Kafka, lost: Lost) -> dict[str, _Records]:
    partitions = topics.load()[TOPIC].partitions
    found = {client_id: _Records() for client_id in lost}
    start = {partition_of(client_id.encode(), partitions): 0 for client_id in lost}
    async for run in read_all(kafka, TOPIC, start):
        for record in run:
            client_id = (record.key or b"").decode(errors="replace")
            if client_id in lost:
                found[client_id].add(record, lost[client_id])
    return found


def _row(record: Record, event: Event, said: ClientConsents) -> dict[str, Any] | None:
    """The row of a record that narrows; one that the log's readers did not count, as it was forged, is in no state."""
    match event:
        case ConsentRefused(data=data) if held_of(data) in said.refusals:
            return _placed(record, data, data.consent) | {"decision": "refuse"}
        case ConsentExcluded(data=data) if held_of(data) in said.exclusions:
            return _placed(record, data, data.consent) | {"decision": "exclude"}
        case ConsentRevoked(data=data) if cut_of(event) in said.revocations:
            of = data.revocation.consent_id
            return _placed(record, data, data.revocation) | {"decision": None, "consent_id": of}
    return None


def _placed(record: Record, data: ConsentData | RevocationData, content: Consent | Revocation) -> dict[str, Any]:
    return {
        "id": content.id,
        "client_id": data.client_id,
        "organization": data.publisher.organization,
        "order": data.order,
        "record": canonical.encode(content),
        "recorded_at": EPOCH + timedelta(microseconds=data.order),  # the order is when it was taken, and is signed
        "accepted_at": EPOCH + timedelta(milliseconds=record.timestamp_ms),
        "partition": record.partition,
        "offset": record.offset,
    }
