"""Standard Webhooks 1.0: secrets of endpoints, how they are kept, ids, and the headers that sign a request (v1)."""

import base64
import hashlib
import hmac
import os
import secrets
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from policy.base64url import encode

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32  # the standard allows 24 to 64
_NONCE_BYTES: Final = 12
_ID_BYTES: Final = 24


def new_secret() -> str:
    """Make an endpoint's signing secret, in the form in which it is shown once."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode("ascii")


def encrypt_secret(key: bytes, endpoint_id: str, secret: str) -> bytes:
    """Encrypt a secret for the database (AES-256-GCM), bound to its row."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, secret.encode("ascii"), _row(endpoint_id))


def decrypt_secret(key: bytes, endpoint_id: str, stored: bytes) -> str:
    """Decrypt what `encrypt_secret` made; cryptography.exceptions.InvalidTag under another key or in another row."""
    return AESGCM(key).decrypt(stored[:_NONCE_BYTES], stored[_NONCE_BYTES:], _row(endpoint_id)).decode("ascii")


def _row(endpoint_id: str) -> bytes:
    return f"endpoints|secret|{endpoint_id}".encode()


def webhook_id(key: bytes, decision_id: str, endpoint_id: str) -> str:
    """Give the id of every request of one decision to one endpoint.

    Keyed, since a decision's id is guessable: a plain hash would let a receiver find where on the log a de-identified
    event stands, and so link it with others of the client.
    """
    digest = hmac.digest(key, f"{decision_id} {endpoint_id}".encode(), hashlib.sha256)
    return f"msg_{encode(digest[:_ID_BYTES])}"


def signed_headers(secret: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Give the three headers for `body` sent at `timestamp` (Unix seconds)."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signature = hmac.digest(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": "v1," + base64.b64encode(signature).decode("ascii"),
    }
