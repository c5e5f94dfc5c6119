"""The composition root of webhooks."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from fastapi import FastAPI

from services.kit import open_files
from services.kit.clients import Transport
from services.kit.database import Database
from services.kit.reader import DatabaseReader, answered_offset
from services.kit.relay import Relay
from services.kit.required import require_topics
from services.kit.service import create_service
from services.kit.together import together
from services.webhooks import api, arriving, restored, worker
from services.webhooks.cursors import Cursors
from services.webhooks.custodian import HttpCustodian
from services.webhooks.inbox import Inbox
from services.webhooks.lease import Clock, since_boot
from services.webhooks.notices import TOPICS
from services.webhooks.own_keys import OwnKeys
from services.webhooks.parts import Parts
from services.webhooks.pings import Pinger
from services.webhooks.readings import Readings
from services.webhooks.sender import Sender
from services.webhooks.settings import WebhooksSettings
from services.webhooks.settlements import Settlements
from services.webhooks.stories import Stories

NAME: Final = "webhooks"
OPEN_FILES: Final = 65_536


def create_app() -> FastAPI:
    """Make the application of webhooks from the environment."""
    open_files.allow(OPEN_FILES)  # each request that waits for a slow endpoint's answer is one
    return compose(WebhooksSettings.read(NAME))


def compose(settings: WebhooksSettings, *, clock: Clock = since_boot, consent: Transport | None = None) -> FastAPI:
    """Make the application: it reads decisions, sends them, and answers.

    `clock` is that of the custodian's leases; `consent` is how it is reached, if not over the network.
    """
    database = Database(settings.database_url)
    keys = OwnKeys.of(settings.assertion_key)
    decided = worker.Arrivals(worker.decided, keys.webhook_ids)
    reader = DatabaseReader(
        NAME,
        worker.DISCLOSURES,
        settings.kafka,
        settings.database_url,
        directly=decided.add,
        source_offset=answered_offset,
        committed=decided.committed,
    )
    notices = {topic: worker.Arrivals(worker.noticed, keys.webhook_ids) for topic in TOPICS}

    @asynccontextmanager
    async def delivering(app: FastAPI) -> AsyncIterator[None]:
        await require_topics(settings.kafka, NAME)
        await restored.check(settings.kafka, database)
        loopback = settings.allow_loopback_receivers
        async with AsyncExitStack() as running:
            custodian = HttpCustodian(settings, consent)
            running.push_async_callback(custodian.close)
            settlements = await running.enter_async_context(Settlements(custodian).running())
            lanes = await running.enter_async_context(worker.lanes(allow_loopback=loopback))
            readings = Readings(database, custodian, settlements, clock)
            inbox = Inbox(database, readings, Cursors(keys.cursors, "inbox"))
            pinger = Pinger(lanes.untried.outbound, keys.endpoint_secrets)
            stories, cursors = Stories(database, readings), Cursors(keys.cursors, "deliveries")
            app.state.parts = Parts(database, keys, cursors, inbox, stories, pinger, loopback)
            relay = Relay(NAME, settings.database_url, settings.kafka, worker.as_it_is)
            sender = Sender(database, custodian, settlements, keys, relay, clock)
            await running.enter_async_context(relay.running())
            await running.enter_async_context(worker.sending(database, sender, lanes, decided, *notices.values()))
            others = (_reader_of_notices(settings, topic, arrivals) for topic, arrivals in notices.items())
            await running.enter_async_context(together(*(each.running() for each in (reader, *others))))
            yield

    app = create_service(
        settings, routers=[api.router], database=database, pieces=[delivering], checks={"disclosures": reader.ping}
    )
    arriving.describe(app)
    return app


def _reader_of_notices(settings: WebhooksSettings, topic: str, arrivals: worker.Arrivals) -> DatabaseReader:
    return DatabaseReader(
        NAME,
        topic,
        settings.kafka,
        settings.database_url,
        directly=arrivals.add,
        committed=arrivals.committed,
        patience=worker.PATIENCE,
    )
