"""A client's accounting, and how decisions and deliveries find each other, whichever is read first."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text

from services.audit import reading
from tests.conftest import Databases
from tests.support.audited import DELIVERED_AT, Audited, audited
from tests.support.disclosing import PURPOSE, Answer

OUTREACH, SHELTER, CLINIC = "outreach", "shelter", "clinic"
BOXES: dict[Any, Any] = {"identity": {"first_name": "Rosa"}}


@pytest.fixture
async def audit(postgres: Databases) -> AsyncIterator[Audited]:
    async with audited(postgres.create_database("audit")) as found:
        for name in (OUTREACH, SHELTER, CLINIC):
            found.world.organization(name)
        found.world.agree(OUTREACH, SHELTER)
        yield found


def permitted(audit: Audited) -> Answer:
    """A referral by outreach whose identity the shelter may have."""
    client = audit.world.client()
    audit.world.grant(client, OUTREACH, SHELTER, "identity")
    audit.world.refer(client, OUTREACH, SHELTER, BOXES)
    return audit.world.answers[-1]


def client_of(answer: Answer) -> str:
    return (answer.key or b"").decode()


async def test_it_tells_when_what_went_to_whom_and_why(audit: Audited) -> None:
    answer = permitted(audit)
    audit.becomes(answer, SHELTER, "delivered", "permit", "identity", "need")
    await audit.catch_up()
    [line] = await audit.accounting(OUTREACH, client_of(answer))
    assert (line["publisher"], line["recipient"], line["purpose"]) == (OUTREACH, SHELTER, PURPOSE)
    assert (line["verdict"], line["categories"], line["permitted"]) == (
        "permit",
        ["identity", "need"],
        ["identity", "need"],
    )
    assert [(basis["discloser"], basis["categories"], basis["method"]) for basis in line["basis"]] == [
        (OUTREACH, ["identity"], "written")
    ]
    outcome = {"channel": "webhook", "state": "delivered", "at": DELIVERED_AT, "attempt": 1, "reason": None}
    rested_on: dict[str, list[str]] = {"consents": [], "obligations": []}
    assert line["deliveries"] == [outcome | rested_on | {"verdict": "permit", "categories": ["identity", "need"]}]
    assert len(line["agreements"]) == 1

    [received] = await audit.accounting(SHELTER, client_of(answer))
    assert received.keys().isdisjoint({"permitted", "agreements"})
    assert {name: received[name] for name in ("id", "client_id", "categories", "basis", "deliveries")} == {
        name: line[name] for name in ("id", "client_id", "categories", "basis", "deliveries")
    }


async def test_it_tells_what_was_decided_on_and_what_was_sent_on(audit: Audited) -> None:
    client = audit.world.client()
    decided_on = audit.world.grant(client, OUTREACH, SHELTER, "identity")
    audit.world.refer(client, OUTREACH, SHELTER, BOXES)
    answer, told = audit.world.answers[-1], ("permit", "identity", "need")
    audit.becomes(answer, SHELTER, "failed", *told)
    sent_on = audit.world.grant(client, OUTREACH, SHELTER, "identity")  # and the first is revoked before the retry
    obligations = ("do-not-enter-in-hmis",)
    audit.becomes(answer, SHELTER, "delivered", *told, attempt=2, consents=(sent_on,), obligations=obligations)
    audit.becomes(answer, SHELTER, "given_up", *told, endpoint_id="endpoint-2", attempt=9)
    await audit.catch_up()
    [line] = await audit.accounting(OUTREACH, client)
    assert [basis["id"] for basis in line["basis"]] == [decided_on]
    assert [(each["consents"], each["obligations"]) for each in line["deliveries"]] == [
        ([sent_on], ["do-not-enter-in-hmis"]),
        ([], []),
    ]
    [received] = await audit.accounting(SHELTER, client)
    assert received["deliveries"] == line["deliveries"][:1]


async def test_it_is_for_the_parties_that_know_the_client(audit: Audited) -> None:
    known, denied = permitted(audit), audit.world.client()
    audit.world.refer(denied, OUTREACH, CLINIC, BOXES)
    unnamed = audit.world.client()
    audit.world.refer(unnamed, OUTREACH, SHELTER, BOXES)
    audit.becomes(audit.world.answers[-1], SHELTER, "delivered", "deidentified", "need")
    audit.becomes(known, SHELTER, "delivered", "permit", "identity", "need")
    await audit.catch_up()

    async def status(organization: str, client_id: str) -> int:
        return (await audit.get(organization, f"/clients/{client_id}/disclosures")).status_code

    assert await status(CLINIC, client_of(known)) == 404
    assert await status(SHELTER, unnamed) == 404  # it has heard of somebody, and does not know of whom
    assert await status(OUTREACH, "0123456789abcdef0123456789abcdef") == 404
    assert await audit.accounting(OUTREACH, denied) == []  # there was an attempt, and nothing crossed
    assert [line["verdict"] for line in await audit.accounting(OUTREACH, unnamed)] == ["deidentified"]


async def test_what_was_delivered_stays_so_whatever_comes_later(audit: Audited) -> None:
    answer = permitted(audit)
    told = ("permit", "identity", "need")
    audit.becomes(answer, SHELTER, "released", *told)
    audit.becomes(answer, SHELTER, "failed", *told)
    audit.becomes(answer, SHELTER, "delivered", *told, attempt=2)
    audit.becomes(answer, SHELTER, "withheld", "withheld", attempt=3, reason="revoked")
    audit.becomes(answer, SHELTER, "released", *told, attempt=2)  # late
    audit.becomes(answer, SHELTER, "given_up", *told, endpoint_id="endpoint-2", attempt=9)
    audit.becomes(answer, SHELTER, "failed", *told, endpoint_id="endpoint-2", attempt=9)  # late
    audit.becomes(answer, SHELTER, "withheld", "withheld", channel="inbox", endpoint_id=None)
    await audit.catch_up()
    [line] = await audit.accounting(OUTREACH, client_of(answer))
    assert {(each["channel"], each["state"], each["attempt"]) for each in line["deliveries"]} == {
        ("webhook", "delivered", 2),
        ("webhook", "given_up", 9),
        ("inbox", "withheld", 1),
    }
    [received] = await audit.accounting(SHELTER, client_of(answer))
    assert [each["state"] for each in received["deliveries"]] == ["delivered"]


async def test_what_was_said_first_stays_when_it_is_said_again(audit: Audited) -> None:
    answer = permitted(audit)
    audit.becomes(answer, SHELTER, "delivered", "permit", "identity", "need")
    audit.becomes(answer, SHELTER, "delivered", "permit", "identity", "need", time="2027-01-01T00:00:00Z")
    await audit.catch_up()
    [line] = await audit.accounting(OUTREACH, client_of(answer))
    assert [each["at"] for each in line["deliveries"]] == [DELIVERED_AT]


async def test_what_a_recipient_was_told_adds_up_over_endpoints(audit: Audited) -> None:
    client = audit.world.client()
    audit.world.grant(client, OUTREACH, SHELTER, "identity", "notes")
    audit.world.refer(client, OUTREACH, SHELTER, {**BOXES, "notes": {"text": "Call first."}})
    answer = audit.world.answers[-1]
    audit.becomes(answer, SHELTER, "delivered", "permit", "identity", "need")
    audit.becomes(answer, SHELTER, "delivered", "permit", "notes", endpoint_id="endpoint-2")
    audit.becomes(answer, SHELTER, "delivered", "deidentified", "need", endpoint_id="endpoint-3")
    await audit.catch_up()
    [received] = await audit.accounting(SHELTER, client)
    assert (received["verdict"], received["categories"]) == ("permit", ["identity", "need", "notes"])


async def test_deliveries_and_decisions_wait_for_what_they_answer(audit: Audited) -> None:
    answer = permitted(audit)
    audit.becomes(answer, SHELTER, "delivered", "permit", "identity", "need")
    deliveries = asyncio.create_task(audit.apply(reading.DELIVERIES, reading.apply_deliveries, audit.deliveries))
    decisions = asyncio.create_task(audit.apply(reading.DISCLOSURES, reading.apply_disclosures, audit.disclosures))
    done, _ = await asyncio.wait({deliveries, decisions}, timeout=0.3)
    assert not done
    await audit.apply(reading.EVENTS, reading.apply_events, audit.events)
    await asyncio.gather(deliveries, decisions)
    assert len(await audit.accounting(SHELTER, client_of(answer))) == 1


async def test_what_answers_nothing_is_an_error_and_writes_nothing(
    audit: Audited, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "OTHER_READER_WITHIN", 0.05)
    answer = permitted(audit)
    with pytest.raises(reading.OtherReaderBehindError):
        await audit.apply(reading.DISCLOSURES, reading.apply_disclosures, audit.disclosures)
    await audit.catch_up()
    audit.becomes(Answer(answer.offset + 1000, answer.key, b""), SHELTER, "delivered", "permit", "identity")
    with pytest.raises(reading.OtherReaderBehindError):
        await audit.catch_up()
    assert await _count(audit, "deliveries") == 0


async def test_events_are_kept_no_longer_than_until_they_are_decided(audit: Audited) -> None:
    permitted(audit)
    audit.world.log.records.append(audit.world.log.records[-1])  # the boundary will call it a duplicate
    audit.world._answer(audit.world.log.records[-1:])
    await audit.catch_up()
    assert await _count(audit, "undecided_events") == 1
    permitted(audit)
    await audit.catch_up()
    assert (await _count(audit, "undecided_events"), await _count(audit, "decisions")) == (0, 2)


async def _count(audit: Audited, table: str) -> int:
    async with audit.database.transaction() as session:
        return int((await session.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one())  # noqa: S608 - ours


async def test_what_was_entered_in_error_is_flagged_for_whoever_heard_so_and_nothing_is_rewritten(
    audit: Audited,
) -> None:
    client = audit.world.client()
    audit.world.grant(client, OUTREACH, SHELTER, "identity")
    made = audit.world.refer(client, OUTREACH, SHELTER, BOXES)
    audit.becomes(audit.world.answers[-1], SHELTER, "delivered", "permit", "identity", "need")
    audit.world.refer(client, OUTREACH, SHELTER, BOXES)
    audit.becomes(audit.world.answers[-1], SHELTER, "delivered", "permit", "identity", "need")
    await audit.catch_up()
    before = await audit.accounting(OUTREACH, client)
    in_error = audit.world.say(made, "entered_in_error")
    await audit.catch_up()
    lines = await audit.accounting(OUTREACH, client)
    assert [line.get("referral_entered_in_error") for line in lines] == [True, None, True]
    assert [lines[0] | {"referral_entered_in_error": None}, lines[1]] == [
        before[0] | {"referral_entered_in_error": None},
        before[1],
    ]
    assert [line.get("referral_entered_in_error") for line in await audit.accounting(SHELTER, client)] == [None, None]
    audit.becomes(in_error, SHELTER, "delivered", "closed")
    await audit.catch_up()
    closed = await audit.accounting(SHELTER, client)
    assert [line.get("referral_entered_in_error") for line in closed] == [None] * 3, "closed says no more"
    audit.becomes(in_error, SHELTER, "delivered", "status", endpoint_id="endpoint-2")
    await audit.catch_up()
    told = await audit.accounting(SHELTER, client)
    assert [line.get("referral_entered_in_error") for line in told] == [True, None, True]
