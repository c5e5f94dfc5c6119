"""What a start takes back from the log where the tables have lost some of it, down to orders and older versions."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from msgspec.structs import replace

from policy import canonical
from policy.parse import TYPES
from schemas.records import ConsentEnteredInError, ConsentExpired, ConsentGranted, ConsentRestated, ConsentRevoked
from services.consent.restored import declared
from services.kit.clients import DependencyDown
from services.kit.restored import RunningError
from tests.conftest import Databases
from tests.support.log import CONSENT, LOG_ID, decode_event
from tests.support.registry import Registry, founded
from tests.support.sealed import form
from tests.support.waiting import wait_until_async
from tests.support.watched import Watched, narrowings_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOUR = 3_600_000_000  # microseconds


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def registry(postgres: Databases) -> AsyncIterator[Registry]:
    async with founded(postgres) as found:
        yield found


async def consenting(registry: Registry) -> tuple[Watched, ConsentGranted]:
    client = Watched(registry, await registry.client())
    await registry.permit(client.id)
    granted = decode_event(await client.said(TYPES["consent.granted"]))
    assert isinstance(granted, ConsentGranted)
    return client, granted


async def say(client: Watched, event: Any) -> None:
    """Put a record on the log as consent did, with a database that is lost."""
    value = CONSENT.sign(event, log_id=LOG_ID, key=client.id)
    await client.registry.producer.send_and_wait("client-events", value, client.id.encode(), client.partition)


async def test_of_a_consent_whose_new_version_was_lost_the_old_one_does_not_come_back(registry: Registry) -> None:
    """It may permit more or for longer; and whatever the clock says, orders go on above all that the log has seen."""
    client, granted = await consenting(registry)
    untouched, _ = await consenting(registry)
    ahead = granted.data.order + HOUR
    newer = replace(granted.data.consent, version=2)
    await say(client, replace(granted, data=replace(granted.data, order=ahead, consent=newer)))
    async with registry.serving():
        assert (await client.restated()).grants == (), "nor does the boundary permit what was lost"
        restated = client.row()[0]
        assert restated > ahead
        await _shown_lost(registry, granted.data.consent.id)
        assert await client.values(ConsentExpired) == []
        await registry.narrow(client.id, "refuse")
        assert client.row()[0] > restated
    assert len(untouched.by_the_tables().grants) == 1
    assert await untouched.values(ConsentRestated) == []


async def _shown_lost(registry: Registry, consent: str) -> None:
    """What is left of it has no end, and nothing that could be renewed; and nobody took it back."""
    assert (await registry.get("outreach", f"/consents/{consent}")).json()["status"] == "lost"
    body = {"expires_at": registry.consent("")["expires_at"], "form": form("written")}
    refused = await registry.post("outreach", f"/consents/{consent}/renewal", body)
    assert (refused.status_code, "was lost" in refused.json()["detail"]) == (409, True)
    with registry.database() as connection:
        connection.execute("UPDATE consents SET due_at = clock_timestamp() WHERE id = %s", [consent])

        def quiet() -> bool:
            return connection.execute("SELECT due_at FROM consents WHERE id = %s", [consent]).fetchone() == (None,)

        await wait_until_async(quiet, what="it to have no end any more")


@pytest.mark.parametrize("said_since", [False, True], ids=["nothing since", "more since"])
async def test_a_row_that_goes_back_under_the_running_service_opens_nothing_and_pages_once(
    registry: Registry, capsys: pytest.CaptureFixture[str], *, said_since: bool
) -> None:
    """As after a failover to a replica that was behind: no start comes between, and no consent.restated."""
    async with registry.serving():
        client, _ = await consenting(registry)
        sealed, before = await registry.sealed(client.id), client.row()
        assert (await registry.release(sealed.asked()))["verdict"] == "permit"
        lost = await registry.revoke(client.id)
        await client.said(ConsentRevoked)
        await registry.view.reached(await registry.ends())
        client.put_back(before, lost["id"])
        if said_since:
            await registry.narrow(client.id, "refuse", categories=["household"])
        for _ in range(2):
            with pytest.raises(DependencyDown):
                await registry.webhooks.post("/releases", sealed.asked())
    paged = [line for line in capsys.readouterr().out.splitlines() if "the tables are behind the log" in line]
    assert len(paged) == 1
    assert client.id not in paged[0]
    async with registry.serving():
        assert (await registry.release(sealed.asked()))["keys"] == []


async def test_a_renewal_that_was_lost_is_noticed_though_something_newer_was_said(registry: Registry) -> None:
    """It may permit less than what it renewed, for a shorter time, say: no older version counts in its place."""
    async with registry.serving():
        client, granted = await consenting(registry)
        sealed, before = await registry.sealed(client.id), client.row()
        assert (await registry.release(sealed.asked()))["verdict"] == "permit"
        body = {"expires_at": registry.consent("")["expires_at"], "form": form("written")}
        path = f"/consents/{granted.data.consent.id}/renewal"
        for version in (2, 3):
            renewed = await registry.post("outreach", path, body, prefer="wait=10")
            assert (renewed.json()["version"], renewed.json()["state"]) == (version, "accepted")
            assert (await registry.release(sealed.asked()))["verdict"] == "permit", "nothing was lost yet"
        await registry.view.reached(await registry.ends())
        client.put_back(before)
        await registry.narrow(client.id, "refuse", categories=["household"])
        with pytest.raises(DependencyDown):
            await registry.webhooks.post("/releases", sealed.asked())
    async with registry.serving():
        assert (await registry.release(sealed.asked()))["keys"] == []
        assert (await client.restated()).grants == ()
        await _shown_lost(registry, granted.data.consent.id)


async def test_a_revocation_comes_back_with_its_receipt_and_a_copy_by_somebody_else_changes_neither(
    registry: Registry,
) -> None:
    async with registry.serving():
        client, _ = await consenting(registry)
        before = client.row()
        lost = await registry.revoke(client.id)
        revoked = decode_event(await client.said(ConsentRevoked))
        client.put_back(before, lost["id"])
    assert isinstance(revoked, ConsentRevoked)
    elsewhere = replace(revoked.data, publisher=replace(revoked.data.publisher, organization="bystander"))
    body = canonical.encode(replace(revoked, data=elsewhere))
    await registry.producer.send_and_wait("client-events", body, client.id.encode(), client.partition)
    async with registry.serving():
        receipt = await registry.receipt(client.id, id=lost["id"])
        assert (receipt["recorded_at"], receipt["state"]) == (lost["recorded_at"], "effective")
        assert (receipt["in_doubt"], receipt["others"]) == (1, "in_doubt")
        assert len(narrowings_of(await client.restated())) == 1
        assert (await registry.get("bystander", f"/clients/{client.id}/revocation")).status_code == 404


async def test_an_error_comes_back_with_its_row(registry: Registry) -> None:
    async with registry.serving():
        client, granted = await consenting(registry)
        before, path = client.row(), f"/consents/{granted.data.consent.id}"
        said = await registry.post("outreach", f"{path}/entered-in-error", {"requested_by": "client"})
        assert said.status_code in (200, 202), said.text
        await client.said(ConsentEnteredInError)
        client.put_back(before, said.json()["id"])
    async with registry.serving():
        receipt = await registry.receipt(client.id, id=said.json()["id"])
        assert (receipt["state"], receipt["others"]) == ("effective", "in_doubt")
        assert (await registry.get("outreach", path)).json()["status"] == "entered-in-error"


async def test_what_was_restored_is_not_declared_while_consent_runs(registry: Registry) -> None:
    async with registry.serving():
        client, _ = await consenting(registry)
        code = await registry.post("outreach", f"/clients/{client.id}/code", {})
        with pytest.raises(RunningError):
            await declared(registry.settings.kafka, registry.settings.database_url)
        with registry.database() as connection:
            kept = connection.execute("SELECT FROM client_codes WHERE client_id = %s", [client.id]).fetchall()
    assert (code.status_code, len(kept)) == (201, 1)
