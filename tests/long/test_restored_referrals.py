"""Yesterday's backup of referrals: nothing old is said, what was closed stays closed, what was made since is there."""

from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from policy import canonical
from schemas.records import ConsentExcluded, ReferralEvents
from services.kit.broker import read_all
from services.kit.restored import RestoredError
from tests.conftest import Databases
from tests.integration.test_referrals_ended import all_said, ends, granted, in_error, permitted, said
from tests.support import backups
from tests.support.chronicle import OUTREACH, SAFE_HOUSE, SHELTER
from tests.support.log import PARTITIONS, decode_event
from tests.support.restoring import declare_restored
from tests.support.tables import direct
from tests.support.town import Town, founded

NAME = {"first_name": "Rosa"}


@pytest_asyncio.fixture
async def town(postgres: Databases) -> AsyncIterator[Town]:
    async with founded(postgres.create_database("referrals")) as found:
        yield found


async def test_yesterdays_referrals_take_back_from_the_log_what_became_of_them(town: Town, tmp_path: Path) -> None:
    mother, child = town.keys.client(OUTREACH), town.keys.client(OUTREACH)
    excluding, cancelling, survivor = (
        town.keys.client(OUTREACH),
        town.keys.client(OUTREACH),
        town.keys.client(SAFE_HOUSE),
    )
    async with town.serving():
        excluded = await town.refer(members=[town.member(excluding, identity=NAME)])
        hidden = (await town.crossing(excluded, verdict="deidentified"))["reference"]
        cancelled = await town.refer(members=[town.member(cancelling, identity=NAME)])
        await town.crossing(cancelled, verdict="deidentified")
        await town.shown(SHELTER, hidden, "requested")
        await town.all_read()
        backup = backups.save(town.settings.database_url, tmp_path / "yesterday")

        # Since then: one excludes the shelter, one is cancelled, a household is referred and accepted, and one fled.
        await town.grant(excluding, event=ConsentExcluded, purposes=(), expires_at=None)
        await _add(town, excluded, excluding)
        await town.shown(SHELTER, hidden, 404)
        assert (await town.move(OUTREACH, cancelled, "cancelled")).status_code == 200
        family = [town.member(mother, identity=NAME), town.member(child, relationship=2)]
        made = await town.refer(members=family, external_id="case-7")
        reference = (await town.crossing(made, verdict="deidentified"))["reference"]
        assert (await town.move(SHELTER, reference, "accepted")).status_code == 200
        await town.shown(OUTREACH, made, "accepted")
        await _add(town, made, mother)
        await town.grant(mother, "identity")
        await town.wait_events(made, 5)
        over = await _over_before_a_childs_consent_was(town)
        untold, client, consent = await permitted(town)
        fled = await town.refer(SAFE_HOUSE, client_id=survivor)
        await town.all_read()
        before = await _said(town)
    await in_error(town, client, consent)

    backups.restore(town.settings.database_url, backup)
    await _let_it_wait_to_be_sent(town, (await town.events(cancelled))[0])
    with pytest.raises(RestoredError, match="threshold restored referrals"):
        async with town.serving():
            raise AssertionError("it started on tables that are older than the log")
    print(declare_restored(town.settings))

    async with town.serving():
        # What was closed is so from the first answer on.
        assert (await town.get(SHELTER, f"/referrals/{hidden}")).status_code == 404
        assert (await town.own_view(cancelled))["status"] == "cancelled"
        refused = await town.post(OUTREACH, f"/referrals/{cancelled}/segments", _more(cancelling))
        assert (refused.status_code, refused.json()["type"]) == (409, "/problems/wrong-status")
        again = await town.post(SAFE_HOUSE, "/referrals", town.body(SAFE_HOUSE, survivor))
        assert (again.status_code, again.json()["type"]) == (409, "/problems/client-already-used")
        own = await town.own_view(made)
        assert (own["status"], own.get("external_id")) == ("accepted", None)
        assert (await town.own_view(fled, SAFE_HOUSE))["status"] == "requested"
        assert (await town.own_view(over))["status"] == "cancelled", "a child's event names an older status"
        await all_said(town)
        assert [len(await ends(town, one)) for one in (over, untold)] == [1, 1], "what was said is not said again"
        # Life goes on with the next version, and with the boxes that the last one had.
        assert (await town.move(SHELTER, reference, "started")).status_code == 200
        await town.shown(OUTREACH, made, "started")
        await _add(town, made, mother)
        await town.all_read()
        after = await _said(town)
    for place, versions in after.items():
        assert versions == sorted(set(versions)), f"{place}: a version again, or before its turn"
        assert versions[: len(before[place])] == before[place]
    assert len(after) == len(before)
    last = (await town.events(made))[-1]
    assert set(town.opened(last)) == {"need", "identity", "health"}


async def _over_before_a_childs_consent_was(town: Town) -> str:
    """A cancelled referral whose newest event, about a child, says `requested`: that much may be told of a child."""
    mother, child = town.keys.client(OUTREACH), town.keys.client(OUTREACH)
    await town.grant(mother, "identity")
    consent = await granted(town, child, "identity")
    family = [town.member(mother, identity=NAME), town.member(child, 2, identity=NAME)]
    referral = await town.refer(members=family)
    await town.crossing(referral, verdict="permit")
    assert (await town.move(OUTREACH, referral, "cancelled")).status_code == 200
    await in_error(town, child, consent)
    (end,) = await said(town, referral)
    assert end.data.referral.status == "requested"
    return referral


async def _let_it_wait_to_be_sent(town: Town, event: ReferralEvents) -> None:
    """As if the backup had been made between the row of an event and its sending."""
    with direct(town.settings.database_url) as connection:
        row = ("an aggregate", "client-events", event.data.client_id.encode(), canonical.encode(event))
        connection.execute("INSERT INTO outbox (aggregate, topic, key, body) VALUES (%s, %s, %s, %s)", row)


def _more(client_id: str) -> dict[str, object]:
    return {"client_id": client_id, "segments": {"health": {"due_date": "2027-03-01"}}}


async def _add(town: Town, referral_id: str, client_id: str) -> None:
    answer = await town.post(OUTREACH, f"/referrals/{referral_id}/segments", _more(client_id))
    assert answer.status_code == 200, answer.text


async def _said(town: Town) -> dict[tuple[str, str], list[int]]:
    """The versions on the log of each member of each referral, in the log's order."""
    found: dict[tuple[str, str], list[int]] = defaultdict(list)
    async for run in read_all(town.bootstrap, "client-events", dict.fromkeys(range(PARTITIONS), 0)):
        for event in (decode_event(record.value or b"") for record in run):
            if isinstance(event, ReferralEvents):
                found[event.data.referral.id, event.data.client_id].append(event.data.referral.version)
    return found
