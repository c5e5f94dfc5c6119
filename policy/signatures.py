"""Ed25519 signatures over signed records: what is signed, and whether a signature fits."""

import hashlib
from functools import lru_cache

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from policy import base64url, canonical
from schemas.events import Signed


def signing_bytes(log_id: str, event_type: str, key: str, data: Signed) -> bytes:
    """What a signature covers: log id, type, record key and all data but the signature itself.

    With the log id another log's record fails here, with the key one moved to another client or control id.
    """
    unsigned = msgspec.to_builtins(data)
    del unsigned["signature"]
    return canonical.encode({"data": unsigned, "key": key, "log_id": log_id, "type": event_type})


def verifies(public_key: str, signature: str, message: bytes) -> bool:
    """Whether `signature` is `public_key`'s over `message` (both base64url without padding)."""
    try:
        _public_key(public_key).verify(base64url.decode(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True


def fingerprint(public_key: str) -> str:
    """Lower-case hex sha256 of the raw public key; empty if it is none."""
    try:
        return hashlib.sha256(base64url.decode(public_key)).hexdigest()
    except ValueError:
        return ""


@lru_cache(maxsize=64)
def _public_key(encoded: str) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(base64url.decode(encoded))
