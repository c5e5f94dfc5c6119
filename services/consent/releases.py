"""Releases: decided under the client's row lock, recorded and committed; only then do keys leave."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec
import psycopg

from policy.allowed import excluded
from policy.base64url import encode
from policy.decide import DOUBTS
from schemas.events import ClientConsents, DataCategory
from services.consent.asked import (
    LEASE_SECONDS,
    BoxKey,
    Description,
    ReleaseAnswer,
    ReleaseRequest,
    Settled,
    Settlement,
)
from services.consent.clients import private_key_of, read_consents
from services.consent.decision import (
    DOES_NOT_OPEN,
    UNKNOWN_CLIENT,
    UNSENT,
    Case,
    Outcome,
    asked_verdict,
    decide,
    withheld,
)
from services.consent.key_encryption import KeyEncryption
from services.consent.lost import is_behind
from services.consent.model import milliseconds
from services.consent.organizations import require_fresh
from services.kit import logs
from services.kit.clients import DependencyDown
from services.kit.control import ControlView
from services.kit.database import Database
from services.kit.keys import random_id
from services.kit.sealing import SealContext, SealError, SealKey, box_key, unwrap

MARGIN_SECONDS: Final = 1
_DOUBT_AFTER: Final = timedelta(seconds=LEASE_SECONDS + MARGIN_SECONDS)

# FOR SHARE: releases do not wait for each other, only for what narrows or widens, and that for them. The time is read
# outside the locked part, so that it is the time after the wait; the client's state is the one after the wait by
# itself. What was released before is as of the statement's beginning.
_LOCK: Final = (
    "WITH locked AS MATERIALIZED ("
    " SELECT key_id, private_key, last_order, consents FROM clients WHERE id = %(client_id)s FOR SHARE"
    ") SELECT key_id, private_key, last_order, consents, clock_timestamp(), ARRAY("
    " SELECT DISTINCT CASE WHEN verdict = 'permit' AND state = 'not_sent' THEN '{unsent}' ELSE verdict END"
    " FROM releases WHERE client_id = %(client_id)s AND referral_id = %(referral_id)s"
    " AND recipient = %(recipient)s AND recipient_project IS NOT DISTINCT FROM CAST(%(recipient_project)s AS text)"
    " AND asked_verdict IN ('permit', 'deidentified')) FROM locked"
).replace("{unsent}", UNSENT)
# Whoever is given a client id may narrow from now on; one round trip for both.
_RECORD: Final = (
    "WITH given AS (INSERT INTO registrations (client_id, organization, via)"
    " SELECT %(client_id)s, %(recipient)s, 'given' WHERE %(verdict)s = 'permit' ON CONFLICT DO NOTHING)"
    " INSERT INTO releases (id, client_id, client_order, decision_id, attempt, channel, event_type, referral_id,"
    " purpose, originator, originator_project, recipient, recipient_project, told, asked_verdict, asked_categories,"
    " verdict, categories, consents, reason, released_at, doubt_at)"
    " VALUES (%(id)s, %(client_id)s, %(client_order)s, %(decision_id)s, %(attempt)s, %(channel)s, %(event_type)s,"
    " %(referral_id)s, %(purpose)s, %(originator)s, %(originator_project)s, %(recipient)s, %(recipient_project)s,"
    " %(told)s, %(asked_verdict)s, %(asked_categories)s, %(verdict)s, %(categories)s, %(consents)s, %(reason)s,"
    " %(released_at)s, %(doubt_at)s)"
)
_SETTLE: Final = (
    "UPDATE releases SET state = said.state, settled_at = coalesce(settled_at, clock_timestamp())"
    " FROM unnest(CAST(%(ids)s AS text[]), CAST(%(states)s AS text[])) AS said(id, state)"
    " WHERE releases.id = said.id AND verdict <> 'withheld'"
    " AND (releases.state IS NULL OR releases.state = 'started' AND said.state IN ('delivered', 'failed'))"
)


class _Locked(NamedTuple):
    """A client whose row is locked against every narrowing, and what was released of this referral before."""

    key_id: str
    private_key: bytes
    last_order: int
    consents: bytes
    now: datetime
    before: list[str]


@dataclass
class Custodian:
    """Who may open which box, now. It alone has the clients' private keys; it never sees a box."""

    database: Database
    view: ControlView
    encryption: KeyEncryption
    log_id: str
    _paged: bool = field(default=False, init=False)

    async def release(self, asked: ReleaseRequest) -> ReleaseAnswer:
        """Decide, record and, once that is committed, answer what may be sent and the keys it needs.

        DependencyDown when the control records have not been confirmed within CONFIRMED_WITHIN seconds (organizations),
        or one of them leaves a doubt; nor is anything opened by a row that is older than the log.
        """
        async with self.database.direct.transaction() as connection:
            client = await _lock(connection, asked)
            require_fresh(self.view)  # after the wait for the lock, which may have been long
            if client is None:
                return _answer(None, withheld(UNKNOWN_CLIENT), [])
            consents = read_consents(client.consents)
            self._require_newest(asked.client_id, client.last_order, consents)
            outcome, keys = await self._open(asked, client, self._decide(asked, client, consents))
            release_id = random_id()
            await connection.execute(_RECORD, _row(release_id, asked, client, outcome))
        return _answer(release_id, outcome, keys)

    def _require_newest(self, client_id: str, last_order: int, held: ClientConsents) -> None:
        """DependencyDown if the log has more of the client than the row: the database went back under us.

        What the log has was committed here before, and nobody commits more while the row is locked.
        """
        if not is_behind(last_order, held, self.view.said_of(client_id)):
            return
        if not self._paged:
            self._paged = True
            logs.get().error("the tables are behind the log: restart consent")
        raise DependencyDown("database")

    def _decide(self, asked: ReleaseRequest, client: _Locked, consents: ClientConsents) -> Outcome:
        at = milliseconds(client.now)
        allowed = self.view.allowed(consents, asked.originator.plain(), asked.recipient.plain(), asked.purpose, at)
        if any(each.denial in DOUBTS for each in allowed):
            raise DependencyDown("consent")  # a doubt passes; a verdict would stand for good
        silenced = excluded(consents, asked.told.organization, at)
        in_error = self.view.is_in_error(asked.referral_id)
        return decide(asked, Case(allowed, silenced, frozenset(client.before), at, in_error))

    async def _open(self, asked: ReleaseRequest, client: _Locked, outcome: Outcome) -> tuple[Outcome, list[BoxKey]]:
        """Derive the keys of what may be sent; nothing may, if a seal key was wrapped under other circumstances."""
        if not outcome.categories:
            return outcome, []
        private_key = await self.encryption.decrypt(client.private_key, private_key_of(asked.client_id))
        try:
            return outcome, _box_keys(asked, outcome.categories, client.key_id, private_key, self.log_id)
        except SealError:
            return withheld(DOES_NOT_OPEN), []


async def settle(connection: psycopg.AsyncConnection, settlements: Sequence[Settlement]) -> None:
    """Note what became of releases. Said twice it is the same; a state only moves forward; the first word counts."""
    states: dict[str, Settled] = {}
    for each in settlements:
        states[each.release_id] = _forward(states.get(each.release_id), each.state)
    await connection.execute(_SETTLE, {"ids": list(states), "states": list(states.values())})


def _forward(state: Settled | None, said: Settled) -> Settled:
    if state is None or (state == "started" and said in ("delivered", "failed")):
        return said
    return state


async def _lock(connection: psycopg.AsyncConnection, asked: ReleaseRequest) -> _Locked | None:
    about = {
        "client_id": asked.client_id,
        "referral_id": asked.referral_id,
        "recipient": asked.recipient.organization,
        "recipient_project": asked.recipient.project,
    }
    row = await (await connection.execute(_LOCK, about, binary=True)).fetchone()
    return None if row is None else _Locked(*row)


def _box_keys(
    asked: ReleaseRequest, categories: frozenset[DataCategory], key_id: str, private_key: bytes, log_id: str
) -> list[BoxKey]:
    """Open the newest envelope of each category and derive the keys of these boxes, of no other."""
    context = SealContext(
        log_id=log_id,
        client_id=asked.client_id,
        originator=asked.originator.plain(),
        referral_id=asked.referral_id,
        purpose=asked.purpose,
        recipients=tuple(one.plain() for one in asked.recipients),
    )
    seal_keys: dict[int, SealKey] = {}
    keys = []
    for category in sorted(categories):
        newest = max((each for each in asked.envelopes if category in each.categories), key=lambda each: each.seq)
        if newest.key_id != key_id:
            raise SealError("wrapped to another key")
        if newest.seq not in seal_keys:
            seal_keys[newest.seq] = unwrap(newest.plain(), context, private_key)
        key = box_key(seal_keys[newest.seq], category)
        keys.append(BoxKey(seq=newest.seq, category=category, key=encode(key)))
    return keys


def _row(release_id: str, asked: ReleaseRequest, client: _Locked, outcome: Outcome) -> dict[str, Any]:
    return {
        **asked.model_dump(include={"client_id", "decision_id", "attempt", "channel", "event_type", "referral_id"}),
        "id": release_id,
        "client_order": client.last_order,
        "purpose": asked.purpose,
        "originator": asked.originator.organization,
        "originator_project": asked.originator.project,
        "recipient": asked.recipient.organization,
        "recipient_project": asked.recipient.project,
        "told": asked.told.organization,
        "asked_verdict": asked_verdict(asked),
        "asked_categories": sorted(set(asked.categories)),
        "verdict": outcome.verdict,
        "categories": sorted(outcome.categories),
        "consents": [each.id for each in outcome.consents],
        "reason": outcome.reason,
        "released_at": client.now,
        "doubt_at": client.now + _DOUBT_AFTER,
    }


def _answer(release_id: str | None, outcome: Outcome, keys: list[BoxKey]) -> ReleaseAnswer:
    permitted = outcome.verdict == "permit"  # whoever hears a status alone needs to know nothing of consents
    described = [msgspec.to_builtins(each) for each in outcome.consents] if permitted else []
    return ReleaseAnswer(
        release_id=None if outcome.verdict == "withheld" else release_id,
        verdict=outcome.verdict,
        known_as=outcome.known_as,
        categories=sorted(outcome.categories),
        keys=keys,
        obligations=list(outcome.obligations),
        consents=[Description.model_validate(each) for each in described],
        reason=outcome.reason,
    )
