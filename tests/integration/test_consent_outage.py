"""Kafka away: consents and revocations are still taken and bite at once, and no key is given out on an old view."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from services.kit import cluster
from services.kit.clients import DependencyDown
from tests.conftest import Databases
from tests.support.control_records import OUTREACH
from tests.support.registry import Registry, founded
from tests.support.waiting import wait_until_async


@pytest_asyncio.fixture
async def registry(postgres: Databases) -> AsyncIterator[Registry]:
    async with founded(postgres) as found:
        yield found


async def ready(registry: Registry) -> httpx.Response:
    return await registry.http.get("/readyz")


async def test_a_revocation_bites_without_kafka(registry: Registry) -> None:
    client = await registry.client()
    await registry.permit(client)
    sealed = await registry.sealed(client)
    assert (await registry.release(sealed.asked()))["verdict"] == "permit"
    assert (await ready(registry)).status_code == 200

    registry.broker.kill()
    receipt = await registry.revoke(client)
    assert (receipt["state"], receipt["accepted_at"], receipt["effective_at"]) == ("recorded", None, None)
    assert await given(registry, sealed.asked(event_type="referral.updated")) == [], "the custodian refuses already"
    waited = await registry.post(OUTREACH, f"/clients/{client}/revocation", {"requested_by": "client"}, prefer="wait=1")
    assert (waited.status_code, waited.json()["state"]) == (202, "recorded")

    newcomer = await registry.client()
    consent = await registry.permit(newcomer)
    assert consent["state"] == "recorded"
    assert (await registry.narrow(newcomer, "exclude"))["state"] == "recorded"
    await stale(registry)
    assert await refused(registry, sealed.asked()), "no key on an old view"
    unsure = await registry.post(OUTREACH, "/consents", registry.consent(newcomer, to=["a-new-organization"]))
    assert (unsure.status_code, unsure.json()["type"]) == (503, "/problems/dependency-down"), "it may exist by now"
    assert (await ready(registry)).json()["parts"] == {"database": "ok", "log": "down"}

    await registry.broker.start()
    await registry.receipt(client, state="effective")
    shown = await registry.get(OUTREACH, f"/consents/{consent['id']}")
    assert shown.json()["state"] == "accepted"
    await wait_until_async(lambda: registry.view.confirmed_within(2.0), what="the view to be confirmed again")
    assert (await ready(registry)).status_code == 200
    assert await given(registry, sealed.asked(event_type="referral.updated")) == []


async def test_a_view_that_cannot_be_confirmed_gives_nothing_out_and_recovers(registry: Registry) -> None:
    client = await registry.client()
    await registry.permit(client)
    sealed = await registry.sealed(client)
    registry.broker.pause()
    try:
        await stale(registry)
        assert await refused(registry, sealed.asked())
        with registry.database() as connection:
            rows = connection.execute("SELECT count(*) FROM releases").fetchone()
        assert rows == (0,), "and nothing was recorded as given"
    finally:
        registry.broker.go_on()
    await wait_until_async(lambda: registry.view.confirmed_within(2.0), what="the view to be confirmed again")
    assert (await registry.release(sealed.asked()))["verdict"] == "permit"


async def test_it_takes_up_where_it_ended(registry: Registry) -> None:
    """The service ends while the log is away: what it had recorded is sent by the next one, in order."""
    client = await registry.client()
    registry.broker.kill()
    await registry.permit(client)
    await registry.revoke(client)
    await registry.broker.start()
    await asyncio.to_thread(cluster.check, registry.broker.bootstrap)
    async with registry.serving():
        await registry.receipt(client, state="effective")
        assert len(await registry.records(client)) == 2


async def test_no_public_key_on_an_old_view_or_in_doubt_of_control(registry: Registry) -> None:
    """Who has just become a victim service provider may not be known as one: its boxes would stand on the log."""
    client = await registry.client()
    assert (await registry.public_key(client)).status_code == 200
    registry.broker.pause()
    try:
        await stale(registry)
        with pytest.raises(DependencyDown):
            await registry.public_key(client)
    finally:
        registry.broker.go_on()
    await wait_until_async(lambda: registry.view.confirmed_within(2.0), what="the view to be confirmed again")
    assert (await registry.public_key(client)).status_code == 200
    planted = await registry.producer.send_and_wait("client-events", b"rubbish", b"control/outreach", 3)
    await registry.view.reached({3: planted.offset + 1})
    with pytest.raises(DependencyDown):
        await registry.public_key(client)


async def stale(registry: Registry) -> None:
    await wait_until_async(lambda: not registry.view.confirmed_within(2.0), what="the view to grow old")


async def refused(registry: Registry, asked: dict[str, Any]) -> bool:
    try:
        await registry.release(asked)
    except DependencyDown:
        return True
    return False


async def given(registry: Registry, asked: dict[str, Any]) -> list[dict[str, Any]]:
    """The keys given out: none, whether the custodian answers so or does not answer."""
    try:
        keys: list[dict[str, Any]] = (await registry.release(asked))["keys"]
    except DependencyDown:
        return []
    return keys
