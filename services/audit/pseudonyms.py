"""Pseudonyms of clients for whoever audits the community: the same for the same client, and no way back."""

import hashlib
import hmac
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_CHARACTERS = 32  # 128 bits


@dataclass(frozen=True)
class Pseudonyms:
    """HMAC of the client id, under a key that only this service can derive."""

    key: bytes = field(repr=False)

    @classmethod
    def of(cls, own_key: Ed25519PrivateKey) -> "Pseudonyms":
        """The pseudonyms of the service with this assertion key; with another key they are others."""
        derived = HKDF(SHA256(), 32, salt=None, info=b"threshold audit pseudonyms 1")
        return cls(derived.derive(own_key.private_bytes_raw()))

    def __call__(self, client_id: str) -> str:
        """The client's pseudonym: 32 hexadecimal digits."""
        return hmac.new(self.key, client_id.encode(), hashlib.sha256).hexdigest()[:_CHARACTERS]
