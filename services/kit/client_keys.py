"""The key pairs that seal keys are wrapped to: HPKE (RFC 9180), one suite per kind of key.

`x25519` is the default; `mlkem768-x25519` is the hybrid that also withstands a quantum computer, for data that must
stay closed for decades. Both with HKDF-SHA256 and AES-256-GCM.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from policy.base64url import decode, encode

DEFAULT_SUITE: Final = "x25519"
_MLKEM_SEED_BYTES: Final = 64
_MLKEM_PUBLIC_BYTES: Final = 1184


class KeyMismatchError(Exception):
    """Something wrapped does not open with this key and info, or the suite is unknown."""


class ClientKeyPair(NamedTuple):
    """A private key as raw bytes, to be kept only encrypted, and its public key as base64url."""

    private_key: bytes
    public_key: str


@dataclass(frozen=True)
class _Kind:
    hpke: Suite
    generate: Callable[[], tuple[bytes, bytes]]
    private: Callable[[bytes], Any]  # HPKE takes a union of eleven key classes; each kind keeps to its own
    public: Callable[[bytes], Any]


def generate_client_keys(suite: str = DEFAULT_SUITE) -> ClientKeyPair:
    """Make a client's key pair; ValueError for an unknown suite."""
    private, public = _kind(suite).generate()
    return ClientKeyPair(private, encode(public))


def wrap_to(suite: str, public_key: str, secret: bytes, info: bytes) -> bytes:
    """Encrypt `secret` to a public key (base64url), bound to `info`; ValueError for a key that is none of the suite."""
    kind = _kind(suite)
    return kind.hpke.encrypt(secret, kind.public(decode(public_key)), info)


def unwrap_with(suite: str, private_key: bytes, wrapped: bytes, info: bytes) -> bytes:
    """Decrypt what `wrap_to` made; KeyMismatchError for another key or info, ValueError for no key of the suite."""
    kind = _kind(suite)
    try:
        return kind.hpke.decrypt(wrapped, kind.private(private_key), info)
    except InvalidTag:
        raise KeyMismatchError from None


def _kind(suite: str) -> _Kind:
    if suite not in SUITES:
        raise ValueError("unknown suite")
    return SUITES[suite]


def _generate_x25519() -> tuple[bytes, bytes]:
    private = X25519PrivateKey.generate()
    return private.private_bytes_raw(), private.public_key().public_bytes_raw()


def _generate_hybrid() -> tuple[bytes, bytes]:
    lattice, (curve_private, curve_public) = MLKEM768PrivateKey.generate(), _generate_x25519()
    private = lattice.private_bytes_raw() + curve_private
    return private, lattice.public_key().public_bytes_raw() + curve_public


def _hybrid_private(raw: bytes) -> MLKEM768X25519PrivateKey:
    seed, curve = raw[:_MLKEM_SEED_BYTES], raw[_MLKEM_SEED_BYTES:]
    return MLKEM768X25519PrivateKey(
        MLKEM768PrivateKey.from_seed_bytes(seed), X25519PrivateKey.from_private_bytes(curve)
    )


def _hybrid_public(raw: bytes) -> MLKEM768X25519PublicKey:
    lattice, curve = raw[:_MLKEM_PUBLIC_BYTES], raw[_MLKEM_PUBLIC_BYTES:]
    return MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(lattice), X25519PublicKey.from_public_bytes(curve)
    )


SUITES: Final[Mapping[str, _Kind]] = MappingProxyType(
    {
        "x25519": _Kind(
            Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM),
            _generate_x25519,
            X25519PrivateKey.from_private_bytes,
            X25519PublicKey.from_public_bytes,
        ),
        "mlkem768-x25519": _Kind(
            Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM),
            _generate_hybrid,
            _hybrid_private,
            _hybrid_public,
        ),
    }
)
