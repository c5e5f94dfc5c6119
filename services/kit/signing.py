"""Signs the records that change what may cross, at the moment they are sent."""

from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from policy import base64url, canonical
from policy.parse import type_of
from policy.signatures import signing_bytes
from schemas.records import SignedEvent

ROOM_FOR_SIGNING: Final = 512
"""Bytes that signing and the log's own framing add to a body at most."""


@dataclass(frozen=True, slots=True)
class Signer:
    """A service's signing key, under the id that the log knows it by; `root` for the root key."""

    key_id: str
    private_key: Ed25519PrivateKey = field(repr=False)

    def sign(self, event: SignedEvent, *, log_id: str, key: str) -> bytes:
        """The canonical bytes of `event`, signed for this log and key; its own key id and signature are replaced."""
        data = replace(event.data, key_id=self.key_id, signature="")
        message = signing_bytes(log_id, type_of(event), key, data)
        signature = base64url.encode(self.private_key.sign(message))
        return canonical.encode(replace(event, data=replace(data, signature=signature)))
