"""Governance's composition root."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI

from services.governance import api, genesis, oauth, records, store
from services.governance.custodian import Narrowings, positions_from
from services.governance.restating import WHYS, Restating
from services.governance.restored import take_back
from services.governance.settings import GovernanceSettings
from services.kit import topics
from services.kit.attempts import Attempts
from services.kit.beside import beside
from services.kit.clients import opened
from services.kit.control import ControlView, followed
from services.kit.database import Database
from services.kit.keys import signing_key_id
from services.kit.lasting import Lasting
from services.kit.relay import Relay
from services.kit.required import require_topics
from services.kit.service import create_service
from services.kit.signing import Signer

NAME: Final = "governance"
PATIENCE: Final = 0.25  # seconds in which the broker gathers what is hardly ever a doubt


def create_app() -> FastAPI:
    """Make governance's application from the environment."""
    return compose(GovernanceSettings.read(NAME))


def compose(settings: GovernanceSettings) -> FastAPI:
    """Make governance's application: it begins the log, relays its records, ends doubts, confirms narrowings."""
    database = Database(settings.database_url)

    @asynccontextmanager
    async def governing(app: FastAPI) -> AsyncIterator[None]:
        await require_topics(settings.kafka, NAME)
        topic = topics.load()[records.TOPIC]
        log_id = await store.begun_log(database, lambda found: genesis.ensure(settings, found, topic))
        view = ControlView(settings.root_fingerprint, topic.partitions)
        restating = Restating(database, view, Lasting(NAME, WHYS, settings.doubt_paged_after))
        async with opened(settings, "consent") as custodian, followed(settings.kafka, view, patience=PATIENCE):
            await view.began()
            await take_back(database, view)
            app.state.narrowings = Narrowings(database, positions_from(custodian))
            async with _relay(settings, log_id).running(), app.state.narrowings.running(), beside(restating.run()):
                yield

    app = create_service(settings, routers=[api.router, oauth.router], database=database, pieces=[governing])
    app.state.attempts = Attempts()
    return app


def _relay(settings: GovernanceSettings, log_id: str) -> Relay:
    signer = Signer(signing_key_id(settings.governance_signing_key.public_key()), settings.governance_signing_key)
    return Relay(NAME, settings.database_url, settings.kafka, records.signing(signer, log_id), records.acknowledged)
