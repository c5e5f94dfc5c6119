"""Keeps clients' private keys encrypted and their identifiers unreadable: the small port behind which a KMS may stand.

Whoever has the database alone can open no box and recognize no person. Both need the key-encryption key, which is
given to this service and to nothing else.
"""

import hashlib
import hmac
import os
from typing import Final, NamedTuple, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from services.kit.keys import RAW_KEY_BYTES, SymmetricKey

_NONCE_BYTES: Final = 12
_INDEX_PURPOSE: Final = b"threshold/consent/identifiers"


class Place(NamedTuple):
    """Where an encrypted value stands; moved to another row, column or table it does not open."""

    table: str
    column: str
    row: str

    def bound(self) -> bytes:
        """Return the associated data; no name of a table or column holds the separator."""
        return "|".join(self).encode()


class UnreadableKeyError(Exception):
    """An encrypted value does not open: altered, moved, or of another key-encryption key."""


class KeyEncryption(Protocol):
    """What consent asks of whoever keeps the key-encryption key. Asynchronous, since a KMS is a call away."""

    async def encrypt(self, secret: bytes, place: Place) -> bytes:
        """Encrypt a secret for one place."""

    async def decrypt(self, encrypted: bytes, place: Place) -> bytes:
        """Decrypt what `encrypt` made for this place; UnreadableKeyError otherwise."""

    async def index(self, *parts: str) -> bytes:
        """Return 32 bytes that are equal for equal parts and tell nothing of them without the key."""


class LocalKeyEncryption:
    """The port over a key in this process's memory: AES-256-GCM, and HMAC-SHA256 under a key derived by HKDF."""

    def __init__(self, key: SymmetricKey) -> None:
        self._cipher = AESGCM(key.raw)
        self._index_key = HKDF(SHA256(), RAW_KEY_BYTES, salt=None, info=_INDEX_PURPOSE).derive(key.raw)

    async def encrypt(self, secret: bytes, place: Place) -> bytes:
        """See the port; the random nonce stands before the ciphertext."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret, place.bound())

    async def decrypt(self, encrypted: bytes, place: Place) -> bytes:
        """See the port."""
        try:
            return self._cipher.decrypt(encrypted[:_NONCE_BYTES], encrypted[_NONCE_BYTES:], place.bound())
        except (InvalidTag, ValueError):
            raise UnreadableKeyError("a value does not open in its place") from None

    async def index(self, *parts: str) -> bytes:
        """See the port; every part is hashed first, so that no two lists of parts can be spelled alike."""
        message = b"".join(hashlib.sha256(part.encode()).digest() for part in parts)
        return hmac.digest(self._index_key, message, "sha256")
