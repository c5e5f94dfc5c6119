"""Clients who are referred without pause, some of whom revoke; and what their receipts promise, held against requests.

Every client's boxes hold a name of that client's own, so that a request tells whose client id or box it carries.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self

from services.kit.keys import random_id
from tests.support.answered import answered
from tests.support.providers import SAID, Providers, referral
from tests.support.receiver import Received
from tests.support.stack import StackProcess
from tests.support.tables import direct
from tests.support.waiting import wait_until_async

POSTERS = 4
BACKLOG = 80  # referrals posted and not arrived: from there on posting waits, so that the end is near

# Done with: decided, and every delivery sent or given up.
_OPEN = """
SELECT count(*) FROM decisions LEFT JOIN deliveries ON deliveries.decision = decisions.number
WHERE organization = %(organization)s
HAVING count(*) < %(posted)s OR bool_or(state IS NULL OR state IN ('pending', 'sending'))
"""
_STILL_TO_BE_ATTEMPTED = """
SELECT count(DISTINCT decisions.number) FROM decisions
JOIN deliveries ON deliveries.decision = decisions.number JOIN attempts ON attempts.delivery = deliveries.number
WHERE organization = %(organization)s AND strpos(convert_from(told, 'UTF8'), %(client)s) > 0
AND strpos(convert_from(told, 'UTF8'), '"verdict":"permit"') > 0
AND decisions.created_at < to_timestamp(%(effective_at)s) AND began_at > to_timestamp(%(effective_at)s)
"""


@dataclass(frozen=True)
class Promise:
    """A receipt that says `effective`: with nothing in doubt no request carries one of `marks` after it."""

    marks: tuple[str, str]  # the client id, and the name in that client's boxes
    recorded_at: float  # seconds since 1970, by the clock of this machine
    effective_at: float
    in_doubt: int

    @property
    def is_certain(self) -> bool:
        return self.in_doubt == 0

    def broken_by(self, requests: Sequence[Received]) -> list[Received]:
        """The requests that it said would not be."""
        return [one for one in requests if self.is_certain and one.at > self.effective_at and self._is_in(one)]

    def waited_for(self, requests: Sequence[Received]) -> list[Received]:
        """The requests that were released before the revocation and began after it: what made it wait."""
        return [one for one in requests if self.recorded_at < one.at <= self.effective_at and self._is_in(one)]

    def too_soon(self, seconds: float) -> Self:
        """What a receipt would say that says so before the revocation was even recorded."""
        return replace(self, effective_at=self.recorded_at - seconds)

    def _is_in(self, one: Received) -> bool:
        return any(mark.encode() in one.raw for mark in self.marks)


@dataclass
class Crowd:
    """The clients of one originator, referred to one recipient."""

    town: Providers
    chance: random.Random
    names: dict[str, str]  # client id -> the name in the boxes
    posted: dict[str, str] = field(default_factory=dict)  # referral id -> client id
    ids: dict[str, set[str]] = field(default_factory=dict)  # referral id -> the webhook-ids it came under
    revoking: dict[str, asyncio.Task[Promise]] = field(default_factory=dict)
    seen: int = 0
    done: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    async def of(cls, town: Providers, seed: int, count: int) -> Self:
        """Register clients who consent."""
        clients = await asyncio.gather(*[town.outreach.client() for _ in range(count)])
        await asyncio.gather(*[town.outreach.grant(town.shelter, client, "identity") for client in clients])
        return cls(town, random.Random(seed), {client: f"Canary-{random_id()}" for client in clients})

    @property
    def requests(self) -> list[Received]:
        return self.town.shelter.desk.received

    @asynccontextmanager
    async def referred(self) -> AsyncIterator[None]:
        """Refer them, one after the other by chance, those who revoked too, for as long as the block runs."""
        async with asyncio.TaskGroup() as posting:
            for _ in range(POSTERS):
                posting.create_task(self._post())
            yield
            self.done.set()

    async def more_came(self, count: int) -> None:
        """Wait for so many more requests."""
        await self.town.shelter.desk.wait(len(self.requests) + count, deadline=90)

    def revoke_just_told(self, count: int) -> None:
        """Let so many more revoke of whom something just arrived, and more is on its way."""
        waiting = set(self._waiting())
        arrived = [self.posted.get(one.data.get("referral_id", ""), "") for one in reversed(self.requests)]
        self._revoke_first(count, [client for client in arrived if client in waiting])

    def revoke_next(self, count: int) -> None:
        """Let so many more revoke of whom something is next to be sent, or is just being made ready."""
        self._revoke_first(count, self._waiting())

    async def recorded(self) -> None:
        """Wait until the log has every revocation so far."""

        async def accepted() -> bool:
            paths = [f"/clients/{client}/revocation" for client, task in self.revoking.items() if not task.done()]
            answers = await asyncio.gather(*[self.town.outreach.call("GET", "consent", path) for path in paths])
            return all(answer.status_code == 200 and answer.json()["accepted_at"] for answer in answers)

        await wait_until_async(accepted, what="revocations to be accepted")

    async def promises(self) -> list[Promise]:
        """What all receipts said when they first said `effective`."""
        return await asyncio.gather(*self.revoking.values())

    async def all_done(self, stack: StackProcess) -> None:
        """Wait until every referral has been decided, and no delivery is to be attempted any more."""
        about = {"organization": self.town.shelter.id, "posted": len(self.posted)}
        with direct(stack.database("webhooks")) as connection:
            await wait_until_async(
                lambda: connection.execute(_OPEN, about).fetchone() is None, what="all to be done with", deadline=90
            )
        self._look()

    def still_to_be_attempted(self, stack: StackProcess, promise: Promise) -> int:
        """How many decisions that would have told the shelter who it is were yet to be attempted at `effective_at`."""
        about = {"organization": self.town.shelter.id, "client": promise.marks[0], "effective_at": promise.effective_at}
        with direct(stack.database("webhooks")) as connection:
            [(count,)] = connection.execute(_STILL_TO_BE_ATTEMPTED, about).fetchall()
        return int(count)

    def missing(self) -> list[str]:
        """The referrals that have not arrived though their clients did not revoke."""
        return [one for one in self._lasting() if one not in self.ids]

    def print_account(self, promises: Sequence[Promise]) -> None:
        """Say how much was at stake, and what is in doubt."""
        again = len(self.requests) - len({one.webhook_id for one in self.requests})
        in_doubt = [promise.in_doubt for promise in promises if not promise.is_certain]
        print(f"{len(self.posted)} referrals, {len(self.requests)} requests, {again} of them came again")
        print(f"{len(promises)} clients revoked, {len(in_doubt)} of them with releases in doubt: {in_doubt}")

    def _lasting(self) -> list[str]:
        return [one for one, client in self.posted.items() if client not in self.revoking]

    def _waiting(self) -> list[str]:
        self._look()
        on_their_way = [client for one, client in self.posted.items() if one not in self.ids]
        return [client for client in on_their_way if client not in self.revoking]

    def _revoke_first(self, count: int, clients: Sequence[str]) -> None:
        chosen = list(dict.fromkeys(clients))[:count]
        self.revoking |= {client: asyncio.create_task(self._revoke(client)) for client in chosen}

    async def _post(self) -> None:
        town = self.town
        while await self._has_room():
            client = self.chance.choice(list(self.names))
            said = SAID | {"identity": {"first_name": self.names[client]}}
            body = referral(town.shelter.id, client, segments=said)
            made = await answered(town.outreach, "referrals", "/referrals", body, 201)
            self.posted[made["id"]] = client

    async def _has_room(self) -> bool:
        def has_room() -> bool:
            self._look()
            return self.done.is_set() or len(self.missing()) < BACKLOG

        await wait_until_async(has_room, what="what was posted to arrive", deadline=90)
        return not self.done.is_set()

    async def _revoke(self, client: str) -> Promise:
        path, body = f"/clients/{client}/revocation", {"scope": "all", "requested_by": "client"}
        receipt = await answered(self.town.outreach, "consent", path, body, 200)
        assert (receipt["state"], receipt["others"]) == ("effective", "done"), receipt
        recorded_at, effective_at = (_seconds(receipt[name]) for name in ("recorded_at", "effective_at"))
        return Promise((client, self.names[client]), recorded_at, effective_at, receipt["in_doubt"])

    def _look(self) -> None:
        """Take note of what has come since the last look; each verified by an independent implementation."""
        for one in self.requests[self.seen :]:
            self.seen += 1
            data: dict[str, Any] = one.verified(self.town.shelter.secret)["data"]
            self.ids.setdefault(data.get("referral_id") or data["reference"], set()).add(one.webhook_id)


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
