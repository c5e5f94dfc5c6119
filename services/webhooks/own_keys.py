"""Keys that this service keeps for itself, derived from its assertion key.

The service needs them again after every restart, and a copy of its database alone must not be enough to use them. It
is given one secret, its own assertion key; deriving from that (HKDF, RFC 5869, one label per use) keeps it at one.
Whoever replaces the assertion key has to give new endpoint secrets, and re-sent webhooks get new ids.
"""

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


@dataclass(frozen=True)
class OwnKeys:
    """32 bytes for each use."""

    endpoint_secrets: bytes = field(repr=False)
    webhook_ids: bytes = field(repr=False)
    cursors: bytes = field(repr=False)

    @classmethod
    def of(cls, assertion_key: Ed25519PrivateKey) -> "OwnKeys":
        """Derive them; always the same from the same key."""
        return cls(
            _derived(assertion_key, "endpoint secrets"),
            _derived(assertion_key, "webhook ids"),
            _derived(assertion_key, "cursors"),
        )


def _derived(assertion_key: Ed25519PrivateKey, use: str) -> bytes:
    derivation = HKDF(algorithm=SHA256(), length=32, salt=None, info=f"threshold webhooks/{use}".encode())
    return derivation.derive(assertion_key.private_bytes_raw())
