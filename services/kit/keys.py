"""Keys and random ids, and the written form of keys: base64url without padding of the raw 32 bytes."""

import hashlib
import secrets
from typing import Annotated

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from policy.base64url import decode, encode

RAW_KEY_BYTES = 32


def generate() -> Ed25519PrivateKey:
    """Make a new signing key."""
    return Ed25519PrivateKey.generate()


def random_id() -> str:
    """Make an opaque random id of 128 bits: 32 hexadecimal digits."""
    return secrets.token_hex(16)


def generate_symmetric() -> bytes:
    """Make a new key-encryption key: 32 random bytes."""
    return secrets.token_bytes(RAW_KEY_BYTES)


def encode_private(key: Ed25519PrivateKey) -> str:
    """Write a private key as its 32-byte seed. The result is a secret."""
    return encode(key.private_bytes_raw())


def decode_private(text: str) -> Ed25519PrivateKey:
    """Read a private key written by `encode_private`; ValueError otherwise."""
    return Ed25519PrivateKey.from_private_bytes(decode(text))


def encode_public(key: Ed25519PublicKey) -> str:
    """Write a public key."""
    return encode(key.public_bytes_raw())


def decode_public(text: str) -> Ed25519PublicKey:
    """Read a public key written by `encode_public`; ValueError otherwise."""
    return Ed25519PublicKey.from_public_bytes(decode(text))


def fingerprint(key: Ed25519PublicKey) -> str:
    """Return the lower-case hex SHA-256 of the raw public key, the form in which people compare keys."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


def signing_key_id(key: Ed25519PublicKey) -> str:
    """Return the id by which the log knows a signing key: the first 128 bits of its fingerprint."""
    return fingerprint(key)[:32]


def _private(value: object) -> Ed25519PrivateKey:
    if isinstance(value, Ed25519PrivateKey):
        return value
    try:
        return decode_private(str(value))
    except ValueError:
        raise PydanticCustomError("key", "must be the base64url of a 32-byte Ed25519 seed") from None


def _public(value: object) -> Ed25519PublicKey:
    if isinstance(value, Ed25519PublicKey):
        return value
    try:
        return decode_public(str(value))
    except ValueError:
        raise PydanticCustomError("key", "must be the base64url of a 32-byte Ed25519 public key") from None


class SymmetricKey:
    """32 secret bytes that no representation shows."""

    def __init__(self, raw: bytes) -> None:
        if len(raw) != RAW_KEY_BYTES:
            raise ValueError("a symmetric key has 32 bytes")
        self.raw = raw

    def __repr__(self) -> str:
        return "SymmetricKey(**********)"


def _symmetric(value: object) -> SymmetricKey:
    if isinstance(value, SymmetricKey):
        return value
    try:
        return SymmetricKey(decode(str(value)))
    except ValueError:
        raise PydanticCustomError("key", "must be the base64url of 32 bytes") from None


PrivateKeyText = Annotated[Ed25519PrivateKey, BeforeValidator(_private)]
PublicKeyText = Annotated[Ed25519PublicKey, BeforeValidator(_public)]
SymmetricKeyText = Annotated[SymmetricKey, BeforeValidator(_symmetric)]
