"""Yesterday's backup of webhooks: nobody is sent to unasked, what was revoked since is not sent, ids stay the same."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from services.kit.restored import RestoredError
from tests.conftest import Databases
from tests.support import backups
from tests.support.custodian import nothing
from tests.support.hooked import Endpoint, Hooked, hooked
from tests.support.restoring import declare_restored


@pytest_asyncio.fixture
async def town(postgres: Databases) -> AsyncIterator[Hooked]:
    async with hooked(postgres.create_database("webhooks")) as found:
        yield found


async def test_yesterdays_webhooks_wait_for_each_organization_and_ask_the_custodian_again(
    town: Hooked, tmp_path: Path
) -> None:
    pair = town.pair()
    async with town.serving():
        stays, deleted = await town.endpoint(pair[1]), await town.endpoint(pair[1])
        first = town.referral(pair)
        await town.publish()
        await stays.desk.wait()
        await deleted.desk.wait()
        await town.wait_told(first.client_id, "delivered", "delivered")
        backup = backups.save(town.settings.database_url, tmp_path / "yesterday")

        # Since then: an endpoint was deleted; two were referred, and one of them has revoked.
        path = f"/endpoints/{deleted.id}"
        assert (await town.call(pair[1], "DELETE", path)).status_code == 204
        second, revoking = town.referral(pair), town.referral(pair)
        await town.publish()
        sent = {one.data["client_id"]: one.webhook_id for one in await stays.desk.wait(3)}
        for made in (second, revoking):
            await town.wait_told(made.client_id, "delivered")
        cursor = (await town.get(pair[1], "/inbox"))["next"]
        town.custodian.rules[revoking.client_id] = nothing

    backups.restore(town.settings.database_url, backup)
    with pytest.raises(RestoredError, match="threshold restored webhooks"):
        async with town.serving():
            raise AssertionError("it started on tables that are older than the log")
    print(declare_restored(town.settings))

    async with town.serving():
        for endpoint in (stays, deleted):
            await town.wait_states(endpoint, "delivered", "pending", "pending")
            shown = await town.get(pair[1], f"/endpoints/{endpoint.id}")
            assert (shown["enabled"], shown["disabled_reason"]) == (False, "restored")
        # The inbox asks as ever, and nothing lies behind a cursor that was given before.
        following = (await town.get(pair[1], "/inbox", after=cursor))["items"]
        assert [item["data"]["client_id"] for item in following] == [second.client_id]
        assert len(stays.desk.received) == 3
        await _confirm(town, stays)
        await town.wait_states(stays, "delivered", "delivered", "withheld")
        [again] = stays.desk.received[3:]
        assert (again.data["client_id"], again.webhook_id) == (second.client_id, sent[second.client_id])
        later = town.referral(pair)
        await town.publish()
        await stays.desk.wait(5)
        await town.wait_states(deleted, "delivered", "pending", "pending", "pending")
        assert len(deleted.desk.received) == 1, "it was deleted, and nobody has said otherwise"
        await town.wait_told(later.client_id, "delivered")
    async with town.serving():
        assert (await town.get(pair[1], f"/endpoints/{stays.id}"))["enabled"]


async def _confirm(town: Hooked, endpoint: Endpoint) -> None:
    answer = await town.call(endpoint.organization, "PATCH", f"/endpoints/{endpoint.id}", {"enabled": True})
    assert (answer.status_code, answer.json()["enabled"]) == (200, True)
