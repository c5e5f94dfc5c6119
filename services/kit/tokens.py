"""Signed tokens: one algorithm, one exact header, one spelling; anything else is refused before a claim is read.

Since there is one header for each key and kind of token, no library has to read one and look up what it asks for: a
token begins with these very characters, or it is refused.
"""

import json
from functools import lru_cache
from typing import Any, Final, TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from joserfc.jwk import OKPKey

from policy.base64url import decode, encode

ALGORITHM: Final = "EdDSA"
MAXIMUM_TOKEN_CHARACTERS: Final = 4096
CLOCK_SKEW_SECONDS: Final = 5
"""How far the issuer's clock may be ahead of ours."""


class RefusedTokenError(Exception):
    """A token that proves nothing. The text says why to a developer and quotes nothing of the token."""


class Claims(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What every token says: issuer, audience, issued and expiry (Unix seconds) and a random id."""

    iss: str
    aud: str
    iat: int
    exp: int
    jti: str


C = TypeVar("C", bound=Claims)


def sign(claims: Claims, kind: str, key: Ed25519PrivateKey) -> str:
    """Sign claims as a compact JWS whose header `typ` is `kind`."""
    message = f"{_header(kind, key.public_key())}.{encode(msgspec.json.encode(claims))}"
    return f"{message}.{encode(key.sign(message.encode()))}"


def verify(token: str, kind: str, key: Ed25519PublicKey, expected: type[C]) -> C:
    """Return the claims of a token signed by `key` for this `kind`; RefusedTokenError for anything else.

    The caller still has to check issuer, audience and time.
    """
    _, payload, signature = _segments(token)
    message = token.rpartition(".")[0]
    if not message.startswith(f"{_header(kind, key)}."):
        raise RefusedTokenError("the header is not the one of this kind of token")
    try:
        key.verify(signature, message.encode())
    except InvalidSignature as error:
        raise RefusedTokenError("the signature is not valid") from error
    try:
        return msgspec.json.decode(payload, type=expected)
    except msgspec.MsgspecError as error:
        raise RefusedTokenError("the claims are not the ones of this kind of token") from error


def check_time(claims: Claims, now: float, longest: int) -> None:
    """Refuse what is expired, issued in the future or valid for more than `longest` seconds."""
    if not claims.iat - CLOCK_SKEW_SECONDS <= now < claims.exp:
        raise RefusedTokenError("not valid at this time")
    if not 0 < claims.exp - claims.iat <= longest:
        raise RefusedTokenError("valid for longer than this kind of token may be")


def key_id(key: Ed25519PublicKey) -> str:
    """Return the RFC 7638 thumbprint by which a header names its key."""
    return OKPKey.import_key(key).thumbprint()


def public_jwk(key: Ed25519PublicKey) -> dict[str, Any]:
    """Return the key as a JSON Web Key (RFC 8037) for a key set."""
    described = OKPKey.import_key(key).as_dict(private=False)
    return {**described, "alg": ALGORITHM, "use": "sig", "kid": key_id(key)}


def _header(kind: str, key: Ed25519PublicKey) -> str:
    return _written_header(kind, key.public_bytes_raw())


@lru_cache(maxsize=64)
def _written_header(kind: str, raw: bytes) -> str:
    described = {"alg": ALGORITHM, "typ": kind, "kid": key_id(Ed25519PublicKey.from_public_bytes(raw))}
    return encode(json.dumps(described, separators=(",", ":")).encode())


def unverified_key_id(token: str) -> str:
    """Return which key a token claims to be signed with, so that the pinned one of that name can be tried."""
    if len(token) > MAXIMUM_TOKEN_CHARACTERS:
        raise RefusedTokenError("too long")
    return _named_key_id(token.partition(".")[0])


@lru_cache(maxsize=64)
def _named_key_id(header: str) -> str:
    try:
        return str(json.loads(decode(header))["kid"])
    except (ValueError, KeyError, TypeError) as error:
        raise RefusedTokenError("the header names no key") from error


def _segments(token: str) -> tuple[bytes, bytes, bytes]:
    if len(token) > MAXIMUM_TOKEN_CHARACTERS:
        raise RefusedTokenError("too long")
    try:
        header, payload, signature = (decode(segment) for segment in token.split("."))
    except ValueError as error:
        raise RefusedTokenError("not a compact JWS in its one spelling") from error
    return header, payload, signature
