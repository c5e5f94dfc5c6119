"""The readers of decisions and of deliveries, whichever comes first; and the tables as they were before them."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
import pytest_asyncio
from alembic import command
from pydantic import SecretStr
from sqlalchemy import create_engine, text

from policy import canonical
from schemas.disclosures import Decision, Delivery, DisclosedEvent, Disclosure
from schemas.events import Party, Recipient, Referral, ReferralData
from services.kit.broker import Record
from services.kit.database import CONNECT_ARGUMENTS, Database, _configuration, migrate
from services.kit.keys import random_id
from services.kit.reader import Apply
from services.kit.waiting import until
from services.referrals import noted, reading, store
from services.referrals.noted import Place
from tests.conftest import Databases

NOON = "2026-11-23T12:00:00Z"
MOTHER, CHILD = 0, 1  # each in a partition of that number
STEPS = ("mother decided", "child decided", "mother reached", "child reached")


@pytest_asyncio.fixture
async def database(postgres: Databases) -> AsyncIterator[Database]:
    url = SecretStr(postgres.create_database("referrals"))
    migrate("referrals", url)
    database = Database(url)
    async with database.transaction() as session:
        await session.execute(
            text("INSERT INTO positions SELECT 'client-events', n, 1000 FROM generate_series(0, 1) n")
        )
    yield database
    await database.close()


@dataclass(frozen=True)
class Household:
    """A referral of two that the boundary permits whole; its events stand at `offset` of either partition."""

    database: Database
    offset: int
    id: str = field(default_factory=random_id)
    reference: str = field(default_factory=random_id)

    async def note(self) -> None:
        rows = [self._place(partition) for partition in (MOTHER, CHILD)]
        async with self.database.transaction() as session:
            await noted.place(session, rows)

    async def apply(self, *steps: str) -> None:
        """Read records of one kind in one transaction."""
        decided = all(step.endswith("decided") for step in steps)
        apply = reading.apply_disclosures if decided else reading.apply_deliveries
        partitions = [MOTHER if step.startswith("mother") else CHILD for step in steps]
        records = [self._record(partition, decided=decided) for partition in partitions]
        async with self.database.transaction() as session:
            await apply(session, records)

    async def listed(self) -> list[str]:
        async with self.database.transaction() as session:
            rows = await session.scalars(store.views("shelter", None))
            return [row.listed_name for row in rows if row.referral_id == self.id]

    def _record(self, partition: int, *, decided: bool) -> Record:
        value = canonical.encode(self._decided(partition) if decided else self._reached(partition))
        return Record("any", partition, self.offset, 0, None, (), value)

    def _place(self, partition: int) -> Place:
        client_id = f"client-{partition}-{self.id}"
        return Place(partition, self.offset, "shelter", self.id, client_id, head=partition == MOTHER)

    def _decided(self, partition: int) -> Disclosure:
        reference, outreach = self.reference if partition == MOTHER else None, Party(organization="outreach")
        data = ReferralData(
            client_id=f"client-{partition}-{self.id}",
            publisher=outreach,
            recipients=(Recipient(organization="shelter", reference=reference),),
            purpose="shelter-placement",
            referral=Referral(id=self.id, originator=outreach, version=1, status="requested"),
        )
        decision = Decision(
            recipient=Party(organization="shelter"),
            verdict="permit",
            known_as="referral",
            status="requested",
            reference=reference,
        )
        return Disclosure(
            source_offset=self.offset,
            source_sha256="0" * 64,
            policy_version=1,
            at=0,
            result="decided",
            digest="0" * 64,
            event=DisclosedEvent(id=random_id(), type="referral.requested", time=NOON, data=data),
            decisions=(decision,),
        )

    def _reached(self, partition: int) -> Delivery:
        return Delivery(
            id=random_id(),
            decision_id=f"{partition}/{self.offset}/shelter",
            client_id=f"client-{partition}-{self.id}",
            recipient=Party(organization="shelter"),
            channel="webhook",
            attempt=1,
            state="delivered",
            verdict="permit",
            time=NOON,
        )


async def test_the_same_is_known_in_whatever_order_decisions_and_deliveries_are_read(database: Database) -> None:
    for offset, steps in enumerate(itertools.permutations(STEPS)):
        of = Household(database, offset)
        await of.note()
        for number, step in enumerate(steps, 1):
            await of.apply(step)
            assert sorted(await of.listed()) == sorted(expected(of, set(steps[:number]))), steps[:number]


async def test_a_decision_and_a_delivery_wait_until_their_event_was_read(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = Household(database, 1000)
    steps = [asyncio.create_task(of.apply(step)) for step in ("mother decided", "mother reached")]
    await of.note()
    await stand(database, 1001)
    await asyncio.gather(*steps)
    assert await of.listed() == [of.id]
    monkeypatch.setattr(reading, "STANDS_STILL_FOR", 0.1)
    with pytest.raises(reading.OtherReaderStandsStillError):
        await Household(database, 1001).apply("mother reached")


async def test_decisions_of_several_partitions_are_read_together(database: Database) -> None:
    of = Household(database, 1)
    await of.note()
    await of.apply("mother decided", "child decided")
    await of.apply("child reached", "mother reached")
    assert await of.listed() == [of.id]


@pytest.mark.parametrize("read", [reading.apply_disclosures, reading.apply_deliveries])
async def test_a_reader_that_waits_holds_nothing_that_another_may_wait_for(
    database: Database, monkeypatch: pytest.MonkeyPatch, read: Apply
) -> None:
    """Two that each held what the other waits for would end the process."""
    early, late = Household(database, 1), Household(database, 1000)
    await early.note()
    waits = asyncio.Event()

    async def telling(check: Callable[[], Awaitable[bool | None]], seconds: float) -> bool | None:
        waits.set()
        return await until(check, seconds)

    monkeypatch.setattr(reading, "until", telling)
    decided = read is reading.apply_disclosures
    records = [early._record(CHILD, decided=decided), late._record(MOTHER, decided=decided)]
    reader = asyncio.create_task(_applied(database, read, records))
    await asyncio.wait_for(waits.wait(), 10)
    async with database.transaction() as session:
        locked = await session.execute(text("SELECT 1 FROM decisions FOR UPDATE NOWAIT"))
        assert len(locked.all()) == 2
    await late.note()
    await stand(database, 1001)
    await reader


async def _applied(database: Database, read: Apply, records: Sequence[Record]) -> None:
    async with database.transaction() as session:
        await read(session, records)


async def stand(database: Database, offset: int) -> None:
    async with database.transaction() as session:
        await session.execute(text("UPDATE positions SET next = :offset"), {"offset": offset})


def expected(of: Household, done: set[str]) -> list[str]:
    if {"mother decided", "mother reached"} <= done:
        return [of.id]
    names = [of.reference] if "mother decided" in done else []
    return [*names, of.id] if {"child decided", "child reached"} <= done else names


BEFORE = """
INSERT INTO referrals (id, originator, recipient, reference, purpose, call_back, historical, status, version,
  status_version, created_at)
  SELECT id, 'outreach', 'shelter', 'reference-' || id, 'any', 'desk', false, 'accepted', 3, 3, now()
  FROM unnest(ARRAY['arrived', 'cut', 'member']) id;
INSERT INTO members (referral_id, client_id, head, sealed, next_seq, followed_order)
  SELECT id, client, client = 'mother', '', 1, 0 FROM referrals, unnest(ARRAY['mother', 'child']) client;
INSERT INTO decisions (partition, source_offset, organization, referral_id, client_id, categories, withheld, verdict,
  released_verdict, delivered_at)
  VALUES (0, 1, 'shelter', 'arrived', 'mother', '[]', '{}', 'permit', 'permit', now()),
  (0, 2, 'shelter', 'cut', 'mother', '[]', '{}', 'permit', 'deidentified', now()),
  (1, 1, 'shelter', 'member', 'child', '[]', '{}', 'permit', 'permit', now());
INSERT INTO views (organization, name, referral_id, reference, client_id, word, version, state)
  SELECT 'outreach', id, id, NULL, NULL, 'accepted', 3, 'open' FROM referrals
  UNION ALL VALUES ('shelter', 'arrived', 'arrived', 'reference-arrived', 'mother', 'accepted', 3, 'open'),
  ('shelter', 'cut', 'cut', 'reference-cut', 'mother', 'accepted', 3, 'open'),
  ('shelter', 'member', 'member', NULL, 'child', 'requested', 1, 'open'),
  ('shelter', 'reference-member', 'member', 'reference-member', 'mother', 'accepted', 3, 'open');
"""
BEFORE_NUDGES = """
INSERT INTO referrals (id, originator, recipient, reference, purpose, call_back, historical, status, version,
  status_version, created_at, respond_by)
  SELECT id, 'outreach', 'shelter', 'reference-' || id, 'any', 'desk', historical, status, 1, 1, now(), now() + time
  FROM (VALUES ('waiting', false, 'requested', interval '4 hours'), ('short', false, 'requested', interval '1 minute'),
    ('answered', false, 'accepted', interval '4 hours'), ('history', true, 'requested', interval '4 hours'),
    ('endless', false, 'requested', NULL)) AS said(id, historical, status, time);
"""


def test_what_a_recipient_knew_before_its_names_were_kept_apart_it_knows_after(postgres: Databases) -> None:
    url = SecretStr(postgres.create_database("referrals"))
    engine = create_engine(url.get_secret_value(), connect_args=CONNECT_ARGUMENTS)
    with engine.begin() as connection:
        command.upgrade(_configuration("referrals", connection), "0001")
        connection.execute(text(BEFORE))
        command.upgrade(_configuration("referrals", connection), "head")
        query = "SELECT name, referral_id, permitted, reached FROM views WHERE organization = 'shelter' ORDER BY name"
        assert connection.execute(text(query)).fetchall() == [
            ("member", "member", True, True),
            ("reference-arrived", "arrived", True, True),
            ("reference-cut", "cut", True, False),
            ("reference-member", "member", False, False),
        ]
        assert connection.execute(text("SELECT DISTINCT version FROM members")).fetchall() == [(3,)]
        own = "SELECT count(*) FROM views WHERE organization = 'outreach' AND name = referral_id AND reached"
        assert connection.execute(text(own)).scalar_one() == 3
    engine.dispose()


def test_of_a_status_from_before_its_time_was_kept_only_the_request_s_is_known(postgres: Databases) -> None:
    url = SecretStr(postgres.create_database("referrals"))
    engine = create_engine(url.get_secret_value(), connect_args=CONNECT_ARGUMENTS)
    with engine.begin() as connection:
        command.upgrade(_configuration("referrals", connection), "0001")
        connection.execute(text(BEFORE))
        connection.execute(text("UPDATE views SET word = 'requested' WHERE name = 'cut'"))
        command.upgrade(_configuration("referrals", connection), "head")
        query = "SELECT organization, name FROM views JOIN referrals ON id = referral_id WHERE status_at = created_at"
        assert connection.execute(text(query)).fetchall() == [("outreach", "cut")]
        assert connection.execute(text("SELECT count(status_at) FROM views")).scalar_one() == 1
    engine.dispose()


def test_of_referrals_from_before_those_that_wait_long_enough_are_asked_for_again(postgres: Databases) -> None:
    url = SecretStr(postgres.create_database("referrals"))
    engine = create_engine(url.get_secret_value(), connect_args=CONNECT_ARGUMENTS)
    with engine.begin() as connection:
        command.upgrade(_configuration("referrals", connection), "0003")
        connection.execute(text(BEFORE_NUDGES))
        command.upgrade(_configuration("referrals", connection), "head")
        query = "SELECT id, nudge_at - created_at FROM referrals WHERE nudge_at IS NOT NULL"
        assert connection.execute(text(query)).fetchall() == [("waiting", timedelta(hours=3))]
    engine.dispose()
