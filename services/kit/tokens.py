"""Signed tokens: one algorithm, one exact header, one spelling; anything else is refused before a claim is read."""

import json
from typing import Any, Final, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from joserfc.jws import JWSRegistry, deserialize_compact, serialize_compact

from policy.base64url import decode

ALGORITHM: Final = "EdDSA"
MAXIMUM_TOKEN_CHARACTERS: Final = 4096
CLOCK_SKEW_SECONDS: Final = 5
"""How far the issuer's clock may be ahead of ours."""


class RefusedTokenError(Exception):
    """A token that proves nothing. The text says why to a developer and quotes nothing of the token."""


class EndedTokenError(RefusedTokenError):
    """A token that was good, and whose time is over."""


class Claims(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What every token says: issuer, audience, issued and expiry (Unix seconds) and a random id."""

    iss: str
    aud: str
    iat: int
    exp: int
    jti: str


C = TypeVar("C", bound=Claims)


class OneAlgorithm(JWSRegistry):
    """Knows EdDSA over Ed25519 and nothing else, so no header can choose another algorithm, nor "none"."""

    algorithms = {ALGORITHM: JWSRegistry.algorithms["Ed25519"]}  # noqa: RUF012 - as joserfc declares it


_REGISTRY: Final = OneAlgorithm(algorithms=[ALGORITHM])


def sign(claims: Claims, kind: str, key: Ed25519PrivateKey) -> str:
    """Sign claims as a compact JWS whose header `typ` is `kind`."""
    header = _header(kind, key.public_key())
    return serialize_compact(header, msgspec.json.encode(claims), OKPKey.import_key(key), registry=_REGISTRY)


def verify(token: str, kind: str, key: Ed25519PublicKey, expected: type[C]) -> C:
    """Return the claims of a token signed by `key` for this `kind`; RefusedTokenError for anything else.

    The caller still has to check issuer, audience and time.
    """
    _segments(token)  # joserfc's own decoder takes several spellings of one token
    try:
        signed = deserialize_compact(token, OKPKey.import_key(key), registry=_REGISTRY)
    except (JoseError, ValueError) as error:
        raise RefusedTokenError("the signature or the header is not valid") from error
    if signed.headers() != _header(kind, key):
        raise RefusedTokenError("the header is not the one of this kind of token")
    try:
        return msgspec.json.decode(signed.payload, type=expected)
    except msgspec.MsgspecError as error:
        raise RefusedTokenError("the claims are not the ones of this kind of token") from error


def check_time(claims: Claims, now: float, longest: int) -> None:
    """Refuse what is expired (EndedTokenError), issued in the future or valid for more than `longest` seconds."""
    if not 0 < claims.exp - claims.iat <= longest:
        raise RefusedTokenError("valid for longer than this kind of token may be")
    if now < claims.iat - CLOCK_SKEW_SECONDS:
        raise RefusedTokenError("not valid yet")
    if now >= claims.exp:
        raise EndedTokenError("not valid any more")


def key_id(key: Ed25519PublicKey) -> str:
    """Return the RFC 7638 thumbprint by which a header names its key."""
    return OKPKey.import_key(key).thumbprint()


def public_jwk(key: Ed25519PublicKey) -> dict[str, Any]:
    """Return the key as a JSON Web Key (RFC 8037) for a key set."""
    described = OKPKey.import_key(key).as_dict(private=False)
    return {**described, "alg": ALGORITHM, "use": "sig", "kid": key_id(key)}


def _header(kind: str, key: Ed25519PublicKey) -> dict[str, Any]:
    return {"alg": ALGORITHM, "typ": kind, "kid": key_id(key)}


def unverified_key_id(token: str) -> str:
    """Return which key a token claims to be signed with, so that the pinned one of that name can be tried."""
    try:
        return str(json.loads(_segments(token)[0])["kid"])
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
