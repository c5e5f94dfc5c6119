"""Seals data categories: only the custodian can open them, and only under the circumstances they were sealed for.

One random seal key per envelope, wrapped by HPKE (RFC 9180) to the client's public key; from it one key per category
(HKDF-SHA256, RFC 5869) encrypts one box (AES-256-GCM). Three bindings hold everything in its place:

- the wrapped seal key opens only under the same `SealContext` and key id (HPKE `info`);
- a box opens only as this category of this client, referral and envelope (associated data);
- a box key says nothing about another category's key, so handing one out hands out one category.

Everything here is pure but for the randomness of keys and nonces. Every failure is a `SealError`, which tells nothing
of what is inside.
"""

import os
from collections.abc import Iterable, Mapping
from typing import Any, Final, NewType

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from policy import canonical
from policy.base64url import decode, encode
from schemas.events import Closed, DataCategory, Envelope, Party, PurposeOfUse, Recipient, ReferralData
from services.kit.client_keys import KeyMismatchError, unwrap_with, wrap_to

FORMAT: Final = "threshold-seal-1"
STEP_BYTES: Final = 256
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_PADDING_START: Final = b"\x80"

SealKey = NewType("SealKey", bytes)
BoxKey = NewType("BoxKey", bytes)


class SealError(Exception):
    """An envelope or a box does not open: altered, of another place, under other circumstances, or by another key."""


class SealContext(Closed, frozen=True, kw_only=True):
    """The circumstances under which a client's data was sealed; under any other its seal key does not unwrap.

    `recipients` are all of the referral's; their order does not matter. A recipient's random `reference` is not part.
    """

    log_id: str
    client_id: str
    originator: Party
    referral_id: str
    purpose: PurposeOfUse
    recipients: tuple[Party, ...]

    @classmethod
    def of(cls, log_id: str, data: ReferralData) -> "SealContext":
        """Read the circumstances from a referral's event."""
        return cls(
            log_id=log_id,
            client_id=data.client_id,
            originator=data.referral.originator,
            referral_id=data.referral.id,
            purpose=data.purpose,
            recipients=tuple(map(_party, data.recipients)),
        )


def seal(
    categories: Mapping[DataCategory, Mapping[str, Any]],
    context: SealContext,
    *,
    public_key: str,
    key_id: str,
    seq: int,
    suite: str,
) -> Envelope:
    """Seal each category's JSON values into a box of one new envelope.

    `public_key` (base64url) and `key_id` are the client's, `suite` is the one the key belongs to, `seq` is the
    envelope's number within the referral. ValueError for a key that is none of the suite, or for values that have no
    canonical form.
    """
    seal_key = SealKey(os.urandom(_KEY_BYTES))
    return Envelope(
        seq=seq,
        suite=suite,
        key_id=key_id,
        wrapped=encode(wrap_to(suite, public_key, seal_key, _info(context, key_id))),
        boxes={
            category: _close(
                data, box_key(seal_key, category), _place(context.client_id, context.referral_id, seq, category)
            )
            for category, data in categories.items()
        },
    )


def unwrap(envelope: Envelope, context: SealContext, private_key: bytes) -> SealKey:
    """Open the envelope's seal key with the client's private key (raw); SealError under any other circumstances."""
    try:
        wrapped = decode(envelope.wrapped)
        return SealKey(unwrap_with(envelope.suite, private_key, wrapped, _info(context, envelope.key_id)))
    except (KeyMismatchError, ValueError):
        raise SealError("the seal key does not open under these circumstances") from None


def box_key(seal_key: SealKey, category: DataCategory) -> BoxKey:
    """Derive the key of one category's box (32 bytes); it reveals neither the seal key nor another box's key."""
    info = f"{FORMAT}/box/{category}".encode()
    return BoxKey(HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=info).derive(seal_key))


def open_box(
    box: str, key: BoxKey, *, client_id: str, referral_id: str, seq: int, category: DataCategory
) -> dict[str, Any]:
    """Open one box (base64url) with its key; SealError unless it is this category's of this client, referral, seq."""
    try:
        sealed = decode(box)
        nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        padded = AESGCM(key).decrypt(nonce, ciphertext, _place(client_id, referral_id, seq, category))
        return msgspec.json.decode(_unpad(padded), type=dict[str, Any])
    except (InvalidTag, ValueError, msgspec.MsgspecError):
        raise SealError("the box does not open here") from None


def _close(data: Mapping[str, Any], key: BoxKey, place: bytes) -> str:
    # A key is used for one box only, so a constant nonce would do. A random one costs 12 bytes a box and keeps a later
    # change that seals twice under one key from being a disaster.
    nonce = os.urandom(_NONCE_BYTES)
    return encode(nonce + AESGCM(key).encrypt(nonce, _pad(canonical.encode(data)), place))


def _pad(plaintext: bytes) -> bytes:
    """Pad to the next step, so that a length tells little (ISO/IEC 7816-4: a one bit, always, then zeros)."""
    marked = plaintext + _PADDING_START
    return marked + bytes(-len(marked) % STEP_BYTES)


def _unpad(padded: bytes) -> bytes:
    marked = padded.rstrip(b"\x00")
    if not marked.endswith(_PADDING_START):
        raise ValueError("no padding")
    return marked[:-1]


def _info(context: SealContext, key_id: str) -> bytes:
    return canonical.encode(
        {
            "format": FORMAT,
            "log": context.log_id,
            "client": context.client_id,
            "originator": _named(context.originator),
            "referral": context.referral_id,
            "purpose": context.purpose,
            "recipients": _in_order(context.recipients),
            "key_id": key_id,
        }
    )


def _place(client_id: str, referral_id: str, seq: int, category: DataCategory) -> bytes:
    return canonical.encode(
        {
            "format": FORMAT,
            "client": client_id,
            "referral": referral_id,
            "seq": seq,
            "category": category,
        }
    )


def _in_order(parties: Iterable[Party]) -> list[dict[str, str]]:
    return [_named(party) for party in sorted(parties, key=lambda party: (party.organization, party.project or ""))]


def _named(party: Party) -> dict[str, str]:
    if party.project is None:
        return {"organization": party.organization}
    return {"organization": party.organization, "project": party.project}


def _party(recipient: Recipient) -> Party:
    return Party(organization=recipient.organization, project=recipient.project)
