"""What went out under a consent that was entered in error since is flagged wherever it is read; no row is rewritten."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.events import ConsentEnded
from services.kit.auth import Scope
from tests.conftest import Databases
from tests.support.audited import Audited, audited
from tests.support.disclosing import Answer, Made
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


def permitted(audit: Audited) -> tuple[Made, str, Answer]:
    client = audit.world.client()
    consent = audit.world.grant(client, OUTREACH, SHELTER, "identity")
    made = audit.world.refer(client, OUTREACH, SHELTER, BOXES)
    return made, consent, audit.world.answers[-1]


def in_error(audit: Audited, made: Made, consent: str) -> None:
    """The consent is entered in error, and the shelter asked for its copy."""
    audit.world.enter_in_error(made.client_id, consent)
    ask_back(audit, made, consent)


def ask_back(audit: Audited, made: Made, consent: str) -> None:
    ended = audit.world.say(made, "consent_ended", consent_ended=ConsentEnded(id=consent, reason="entered-in-error"))
    audit.becomes(ended, SHELTER, "delivered", "closed")


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
    lines = [line for line in lines if line["type"] == "referral.requested"]
    assert len(lines) == 5
    return lines


def unflagged(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in line.items() if name != FLAGGED} for line in lines]


async def test_each_reader_of_what_went_out_is_told_that_it_was_in_error_and_since_when(audit: Audited) -> None:
    made, consent, answer = permitted(audit)
    audit.becomes(answer, SHELTER, "delivered", *TOLD, consents=(consent,))
    before = await read(audit, made.client_id)
    assert [line.get(FLAGGED) for line in before] == [None] * 5
    in_error(audit, made, consent)
    after = await read(audit, made.client_id)
    at = datetime.fromtimestamp(START / 1000, UTC)
    for line in after:
        [flag] = line[FLAGGED]
        assert flag["consent"] == consent
        assert datetime.fromisoformat(flag["at"]) >= at
    assert unflagged(after) == before


async def test_a_recipient_learns_of_it_through_the_boundary_alone(audit: Audited) -> None:
    """One that the client excluded, say, is asked for nothing."""
    made, consent, answer = permitted(audit)
    audit.becomes(answer, SHELTER, "delivered", *TOLD, consents=(consent,))
    audit.world.enter_in_error(made.client_id, consent)
    assert [FLAGGED in line for line in await read(audit, made.client_id)] == [True, False, True, False, True]
    other, _, another = permitted(audit)
    audit.becomes(another, SHELTER, "delivered", *TOLD, consents=(consent,))
    ask_back(audit, other, consent)
    assert [FLAGGED in line for line in await read(audit, made.client_id)] == [True, False, True, False, True]


async def test_what_went_out_under_another_consent_or_not_at_all_is_not_flagged(audit: Audited) -> None:
    made, decided_on, answer = permitted(audit)
    client = made.client_id
    sent_on = audit.world.grant(client, OUTREACH, SHELTER, "identity")
    audit.becomes(answer, SHELTER, "delivered", *TOLD, consents=(sent_on,))
    kept, unused, refused = permitted(audit)
    withheld = kept.client_id
    audit.becomes(refused, SHELTER, "withheld", "withheld", reason="revoked")
    in_error(audit, made, decided_on)
    audit.world.enter_in_error(withheld, unused)
    assert all(FLAGGED not in line for line in await read(audit, client))
    assert all(FLAGGED not in line for line in await audit.accounting(OUTREACH, withheld))
    audit.world.enter_in_error(client, sent_on)
    assert all([flag["consent"] for flag in line[FLAGGED]] == [sent_on] for line in await read(audit, client))


async def test_what_an_impostor_signed_flags_nothing(audit: Audited) -> None:
    made, consent, answer = permitted(audit)
    audit.becomes(answer, SHELTER, "delivered", *TOLD, consents=(consent,))
    audit.world.enter_in_error(made.client_id, consent, signed_by="stranger")
    ask_back(audit, made, consent)
    assert all(FLAGGED not in line for line in await read(audit, made.client_id))


async def test_said_twice_the_first_time_counts(audit: Audited) -> None:
    made, consent, answer = permitted(audit)
    audit.becomes(answer, SHELTER, "delivered", *TOLD, consents=(consent,))
    in_error(audit, made, consent)
    once = await read(audit, made.client_id)
    audit.world.log.now += 3_600_000
    audit.world.enter_in_error(made.client_id, consent)
    assert await read(audit, made.client_id) == once
