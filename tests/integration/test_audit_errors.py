"""What went out under a consent that was entered in error since is flagged wherever it is read; no row is rewritten."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from services.kit.auth import Scope
from tests.conftest import Databases
from tests.support.audited import Audited, audited
from tests.support.disclosing import Answer
from tests.support.log import START

OUTREACH, SHELTER = "outreach", "shelter"
BOXES: dict[Any, Any] = {"identity": {"first_name": "Rosa"}}
TOLD = ("permit", "identity", "need")
FLAGGED = "entered_in_error"


@pytest.fixture
async def audit(postgres: Databases) -> AsyncIterator[Audited]:
    async with audited(postgres.create_database("audit")) as found:
        for name in (OUTREACH, SHELTER):
            found.world.organization(name)
        found.world.agree(OUTREACH, SHELTER)
        yield found


def permitted(audit: Audited) -> tuple[str, str, Answer]:
    client = audit.world.client()
    consent = audit.world.grant(client, OUTREACH, SHELTER, "identity")
    audit.world.refer(client, OUTREACH, SHELTER, BOXES)
    return client, consent, audit.world.answers[-1]


async def read(audit: Audited, client: str) -> list[dict[str, Any]]:
    """The client's one disclosure, in each of the places where somebody reads it."""
    await audit.catch_up()
    lines = [
        *(await audit.accounting(OUTREACH, client)),
        *(await audit.accounting(SHELTER, client)),
        *(await audit.decisions(OUTREACH, client_id=client)),
        *(await audit.decisions(SHELTER, client_id=client)),
        *(await audit.decisions(None, Scope.AUDIT_READ_ALL, client_id=client)),
    ]
    assert len(lines) == 5
    return lines


def unflagged(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in line.items() if name != FLAGGED} for line in lines]


async def test_each_reader_of_what_went_out_is_told_that_it_was_in_error_and_since_when(audit: Audited) -> None:
    client, consent, answer = permitted(audit)
    audit.becomes(answer, SHELTER, "delivered", *TOLD, consents=(consent,))
    before = await read(audit, client)
    assert [line.get(FLAGGED) for line in before] == [None] * 5
    audit.world.enter_in_error(client, consent)
    after = await read(audit, client)
    at = datetime.fromtimestamp(START / 1000, UTC)
    for line in after:
        [flag] = line[FLAGGED]
        assert flag["consent"] == consent
        assert datetime.fromisoformat(flag["at"]) >= at
    assert unflagged(after) == before


async def test_what_went_out_under_another_consent_or_not_at_all_is_not_flagged(audit: Audited) -> None:
    client, decided_on, answer = permitted(audit)
    sent_on = audit.world.grant(client, OUTREACH, SHELTER, "identity")
    audit.becomes(answer, SHELTER, "delivered", *TOLD, consents=(sent_on,))
    withheld, unused, refused = permitted(audit)
    audit.becomes(refused, SHELTER, "withheld", "withheld", reason="revoked")
    audit.world.enter_in_error(client, decided_on)
    audit.world.enter_in_error(withheld, unused)
    assert all(FLAGGED not in line for line in await read(audit, client))
    assert all(FLAGGED not in line for line in await audit.accounting(OUTREACH, withheld))
    audit.world.enter_in_error(client, sent_on)
    assert all([flag["consent"] for flag in line[FLAGGED]] == [sent_on] for line in await read(audit, client))


async def test_what_an_impostor_signed_flags_nothing(audit: Audited) -> None:
    client, consent, answer = permitted(audit)
    audit.becomes(answer, SHELTER, "delivered", *TOLD, consents=(consent,))
    audit.world.enter_in_error(client, consent, signed_by="stranger")
    assert all(FLAGGED not in line for line in await read(audit, client))


async def test_said_twice_the_first_time_counts(audit: Audited) -> None:
    client, consent, answer = permitted(audit)
    audit.becomes(answer, SHELTER, "delivered", *TOLD, consents=(consent,))
    audit.world.enter_in_error(client, consent)
    once = await read(audit, client)
    audit.world.log.now += 3_600_000
    audit.world.enter_in_error(client, consent)
    assert await read(audit, client) == once
