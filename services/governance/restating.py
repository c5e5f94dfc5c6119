"""Lets partitions out of doubt about control: what the tables say goes to every one whole, as `control.restated`."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from policy.control import Control
from schemas.control import ControlRestatedData, SigningKey
from services.governance import agreements, directory, records, store, tables
from services.governance.model import Step, Votes
from services.kit import logs
from services.kit.control import ControlView
from services.kit.database import Database, now
from services.kit.lasting import Lasting
from services.kit.problems import Problem

LOOK_EVERY: Final = 0.1  # seconds
TRY_AGAIN_AFTER: Final = 2.0  # seconds
CONFIRMED_WITHIN: Final = 2.0  # seconds: what was read longer ago says nothing of now
AT_MOST_EVERY: Final = timedelta(seconds=10)
"""By all processes: whoever writes rubbish to the log makes no flood of ours."""

_PATIENCE: Final = text("SET LOCAL lock_timeout = '1s'")
_OURS: Final = ("organization/", "agreement/")

Why = Literal["restating", "behind-the-log", "too-large"]
WHYS: Final[tuple[Why, ...]] = ("restating", "behind-the-log", "too-large")


class Restating:
    """Restates the control records when a partition is in doubt about them, and pages where it can't."""

    def __init__(self, database: Database, view: ControlView, lasting: Lasting) -> None:
        self._database = database
        self._view = view
        self._lasting = lasting
        self._why: Why = "restating"
        self._tried = float("-inf")

    async def run(self) -> None:
        """Look for as long as the service runs."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY)

    async def look(self) -> None:
        """Restate if any partition is in doubt, as far as it was read."""
        in_doubt = [str(partition) for partition, one in enumerate(self._view.by_partition()) if one.in_doubt]
        if not in_doubt:
            self._why, self._tried = "restating", float("-inf")
        elif self._view.confirmed_within(CONFIRMED_WITHIN) and time.monotonic() - self._tried >= TRY_AGAIN_AFTER:
            self._tried = time.monotonic()
            try:
                self._why = await self._restate()
            except self._database.away as error:
                logs.get().warning("control records in doubt wait for the database", **logs.describe(error))
        self._lasting.look(dict.fromkeys(in_doubt, self._why))

    async def _restate(self) -> Why:
        """Put the complete state into the outbox for every partition, unless that was done a moment ago.

        Nobody says anything meanwhile: what is not in the state comes after it, with a higher order.
        """
        controls = self._view.by_partition()
        try:
            async with self._database.transaction() as session:
                await session.execute(_PATIENCE)
                log = await store.locked_log(session)
                if await _said_lately(session, log):
                    return "restating"
                ours = await said(session, log)
                if any(ours.is_behind(one) for one in controls):  # we would take back what our tables have lost
                    return "behind-the-log"
                await restate(session, log, controls)
        except Problem:
            return "too-large"
        return "restating"


@dataclass(frozen=True)
class Said:
    """What our tables know to be on the log: the newest order by mark, what is out of force, the last restatement.

    An agreement that they do not have, and that has ended, can't be brought back by them; nor can what a restatement
    of ours left out.
    """

    orders: Mapping[str, int]
    ended: frozenset[str]
    left: frozenset[tuple[str, str]]
    floor: int

    def is_behind(self, control: Control) -> bool:
        """Whether a partition has something of ours that the tables do not know of."""
        ours = {name: mark for name, mark in control.marks.items() if name.startswith(_OURS)}
        newer = any(mark > max(self.orders.get(name, 0), self.floor) for name, mark in ours.items())
        ended = {id_ for id_ in control.ended - self.ended if self._has(id_)}
        left = {(id_, party) for id_, party in control.left - self.left if self._has(id_)}
        return newer or bool(ended or left) or control.floor > self.floor

    def _has(self, agreement_id: str) -> bool:
        return f"agreement/{agreement_id}" in self.orders


async def restate(session: AsyncSession, log: tables.LogIdentity, controls: Sequence[Control]) -> None:
    """Put the complete state into the outbox, with an order above all others; the log's row is locked.

    Problem 422 if it is larger than the log takes.
    """
    ours = await said(session, log)
    above = max([*ours.orders.values(), *(mark for one in controls for mark in one.marks.values())])
    await records.control_restated(session, log, above, await _state(session, controls))


async def said(session: AsyncSession, log: tables.LogIdentity) -> Said:
    """Return what our tables know to be on the log; its row is locked."""
    organizations, every = await store.organizations(session), await store.agreements(session)
    orders = {f"organization/{one.id}": one.last_order for one in organizations}
    orders |= {f"agreement/{one.id}": one.last_order for one in every}
    ended = frozenset(one.id for one in every if Step(one.step) not in {Step.DRAFT, Step.DECIDED})
    left = frozenset((one.agreement, one.organization) for one in await store.every_departure(session))
    return Said(orders, ended, left, log.floor)


def keys_in_force(controls: Sequence[Control]) -> tuple[SigningKey, ...]:
    """Return the keys that any partition knows and none has retired: a record that adds one is damaged in few."""
    retired = frozenset[str]().union(*(one.retired for one in controls))
    found = {key.id: key for one in controls for key in one.keys.values() if key.id not in retired}
    return tuple(found[id_] for id_ in sorted(found))


async def _said_lately(session: AsyncSession, log: tables.LogIdentity) -> bool:
    lately = log.restated_at is not None and await now(session) - log.restated_at < AT_MOST_EVERY
    return lately or not await store.all_taken(session, records.RESTATED_KEY)


async def _state(session: AsyncSession, controls: Sequence[Control]) -> ControlRestatedData:
    organizations = [await directory.said(session, row) for row in await store.organizations(session)]
    tests = frozenset(one.id for one in organizations if one.test)
    decided = [row for row in await store.agreements(session) if Step(row.step) is Step.DECIDED]
    in_force = [(row, await agreements.votes_of(session, row)) for row in decided]
    return ControlRestatedData(
        order=0,  # records.control_restated gives it
        key_id=records.UNSIGNED,
        signature=records.UNSIGNED,
        policy_version=max(one.policy_version for one in controls),
        organizations=tuple(organizations),
        agreements=tuple(agreements.said(row, votes) for row, votes in in_force if not _mixed(votes, tests)),
        keys=keys_in_force(controls),
    )


def _mixed(votes: Votes, tests: frozenset[str]) -> bool:
    """Whether test and real organizations were ever in it: who left is not restated, and would still count."""
    return len({party in tests for party in votes.approved | votes.left}) > 1
