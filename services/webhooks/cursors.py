"""Cursors that tell nothing: positions are encrypted, so that what was left out of a page leaves no gap to count."""

import os
from typing import Final, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from policy.base64url import decode, encode
from services.kit.problems import Problem

_NONCE_BYTES: Final = 12
_POSITION_BYTES: Final = 8

List = Literal["inbox", "deliveries"]


class Cursors:
    """Writes and reads the cursors of one kind of list; each is good for one owner (an organization, an endpoint)."""

    def __init__(self, key: bytes, kind: List) -> None:
        self._cipher = AESGCM(key)
        self._kind = kind

    def write(self, owner: str, position: int) -> str:
        """Write a position as an opaque cursor."""
        nonce = os.urandom(_NONCE_BYTES)
        return encode(
            nonce + self._cipher.encrypt(nonce, position.to_bytes(_POSITION_BYTES, "big"), self._place(owner))
        )

    def read(self, owner: str, cursor: str) -> int:
        """Read a cursor; Problem 422 for one that no page of this list gave."""
        try:
            raw = decode(cursor)
            position = self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], self._place(owner))
        except (ValueError, InvalidTag):
            raise Problem(
                "invalid-parameter", "must be a cursor that a page of this list gave", field="after"
            ) from None
        return int.from_bytes(position, "big")

    def _place(self, owner: str) -> bytes:
        return f"{self._kind}/{owner}".encode()
