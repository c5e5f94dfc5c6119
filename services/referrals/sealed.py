"""Seals what is said about a client to the client's key, as far as consent says that it may be sealed."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from policy import canonical
from schemas.events import DataCategory, Envelope, Party, PurposeOfUse, ReferralData
from services.kit.clients import ServiceClient
from services.kit.problems import Problem
from services.kit.sealing import SealContext, seal

MAXIMUM_SEALED_BYTES: Final = 128 * 1024  # per client and referral, as on the log

Content = Mapping[DataCategory, Mapping[str, Any]]

_ENVELOPES = msgspec.json.Decoder(tuple[Envelope, ...])


class ClientKey(Struct, frozen=True):
    """A client's public key, and the categories that its publisher may seal to this recipient for this purpose."""

    log_id: str
    key_id: str
    suite: str
    public_key: str
    sealable: frozenset[str]
    victim_service_provider: bool


_CLIENT_KEY = msgspec.json.Decoder(ClientKey)


async def client_key(
    consent: ServiceClient, client_id: str, originator: Party, recipient: Party, purpose: PurposeOfUse, field: str
) -> ClientKey:
    """Ask consent for a client's key; Problem 404 naming `field` if the originator has not registered the client.

    Never kept: what a victim service provider may seal can change with the client's next word.
    """
    parameters = {
        "organization": originator.organization,
        "project": originator.project,
        "recipient": recipient.organization,
        "recipient_project": recipient.project,
        "purpose": purpose,
    }
    given = {name: value for name, value in parameters.items() if value is not None}
    answer = await consent.get(f"/clients/{client_id}/public-key", given)
    if answer.status_code == HTTPStatus.NOT_FOUND:
        raise Problem("client-not-registered", field=field)
    answer.require_success()
    return _CLIENT_KEY.decode(answer.content)


def check_sealable(key: ClientKey, content: Content, field: str) -> None:
    """Problem 422 naming the first category that a victim service provider may not even seal without a release."""
    for category in content:
        if category not in key.sealable:
            raise Problem("vsp-no-release", field=f"{field}.{category}")


def envelope(key: ClientKey, data: ReferralData, content: Content, seq: int) -> Envelope:
    """Seal `content` for exactly these circumstances."""
    return seal(
        content,
        SealContext.of(key.log_id, data),
        public_key=key.public_key,
        key_id=key.key_id,
        seq=seq,
        suite=key.suite,
    )


def with_newer(envelopes: Sequence[Envelope], newer: Envelope) -> tuple[Envelope, ...]:
    """Add an envelope; the boxes that its own take the place of are kept no longer."""
    remaining = [
        replace(old, boxes={category: box for category, box in old.boxes.items() if category not in newer.boxes})
        for old in envelopes
    ]
    return (*(old for old in remaining if old.boxes), newer)


def write(envelopes: Sequence[Envelope], field: str) -> bytes:
    """Write envelopes for their row; Problem 413 naming `field` when they are more than the log takes."""
    written = canonical.encode(envelopes)
    if len(written) > MAXIMUM_SEALED_BYTES:
        raise Problem("sealed-too-large", field=field)
    return written


def read(written: bytes) -> tuple[Envelope, ...]:
    """Read what `write` wrote."""
    return _ENVELOPES.decode(written)
