"""What runs beside consent's routes: it follows control records and doubts, says ends, sends what the tables say."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI

from policy.control import Control
from policy.parse import parse
from schemas.records import ReferralEvents
from services.consent import ends, store
from services.consent.key_encryption import KeyEncryption
from services.consent.organizations import require_fresh
from services.consent.releases import Custodian
from services.consent.restating import WHYS, Restating
from services.consent.restored import take_back
from services.consent.settings import ConsentSettings
from services.kit import keys
from services.kit.beside import beside
from services.kit.control import ControlView, followed
from services.kit.database import Database
from services.kit.health import Check
from services.kit.lasting import Lasting
from services.kit.outbox import OutboxRow
from services.kit.relay import Prepare, Relay
from services.kit.required import require_topics
from services.kit.service import Piece
from services.kit.signing import Signer
from services.kit.waiting import until

KEY_ON_LOG_WITHIN: Final = 30.0  # seconds from genesis, which governance completes at once


class SigningKeyError(Exception):
    """The log does not know our signing key: whatever we signed would put its client in doubt."""


def working(settings: ConsentSettings, database: Database, view: ControlView, encryption: KeyEncryption) -> Piece:
    """Return consent's running part. It waits for the log's genesis; `app.state.custodian` is there once it runs."""

    @asynccontextmanager
    async def piece(app: FastAPI) -> AsyncIterator[None]:
        await require_topics(settings.kafka, settings.service)
        async with followed(settings.kafka, view):
            log_id = (await view.began()).log_id
            await take_back(database, settings.kafka, view)
            signer = Signer(await _signing_key_id(view, settings), settings.consent_signing_key)
            app.state.custodian = Custodian(database, view, encryption, log_id)
            lasting = Lasting(settings.service, WHYS, settings.doubt_paged_after)
            restating = Restating(database, view, lasting)
            async with (
                _relay(settings, log_id, signer).running(),
                beside(restating.run()),
                beside(ends.keep_saying(database)),
            ):
                yield

    return piece


def following(view: ControlView) -> Check:
    """Return the check that the control records are being followed: without them the custodian gives nothing out."""

    async def check() -> None:
        require_fresh(view)

    return check


def signing(signer: Signer, log_id: str) -> Prepare:
    """Return what the relay makes a row's final bytes with: the same record, signed at the moment it is sent."""

    def signed(row: OutboxRow) -> bytes:
        if row.topic == store.NOTICES:  # it changes nothing, and the topic's only writer is known
            return row.body
        event = parse(row.body)
        if isinstance(event, ReferralEvents):
            raise TypeError("consent publishes no referral")
        return signer.sign(event, log_id=log_id, key=row.key.decode())

    return signed


def _relay(settings: ConsentSettings, log_id: str, signer: Signer) -> Relay:
    return Relay(
        settings.service,
        settings.database_url,
        settings.kafka,
        signing(signer, log_id),
        store.accepted,
    )


async def _signing_key_id(view: ControlView, settings: ConsentSettings) -> str:
    """The id under which every partition knows our key; raises SigningKeyError if one does not for too long."""
    ours = keys.encode_public(settings.consent_signing_key.public_key())

    async def known() -> str | None:
        found = {_id_of(ours, control) for control in view.controls()}
        return found.pop() if len(found) == 1 else None

    key_id = await until(known, KEY_ON_LOG_WITHIN)
    if key_id is None:
        raise SigningKeyError("the log does not know consent's signing key")
    return key_id


def _id_of(public_key: str, control: Control) -> str | None:
    return next((key.id for key in control.keys.values() if key.public_key == public_key), None)
