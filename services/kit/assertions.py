"""Short signed assertions with which one service proves to another that it sends exactly this request.

The cache of used ids lives in the verifying process: after a restart an assertion could be used again for what is
left of its 30 seconds, by one who reads the traffic between services; TLS between them closes that in production.
"""

import hashlib
from collections import deque
from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from policy.base64url import encode
from services.kit.keys import random_id
from services.kit.tokens import (
    Claims,
    RefusedTokenError,
    check_time,
    key_id,
    sign,
    unverified_key_id,
    verify,
)

ASSERTION_SECONDS: Final = 30
ASSERTION_KIND: Final = "assertion+jwt"


class AssertionClaims(Claims, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The claims of an assertion: `htm` method, `htu` path and query as sent, `bsh` base64url SHA-256 of the body."""

    htm: str
    htu: str
    bsh: str


def sign_assertion(
    key: Ed25519PrivateKey, *, issuer: str, audience: str, method: str, target: str, body: bytes, now: float
) -> str:
    """Sign one request to one service; `target` is its path and query as sent, `now` Unix time."""
    claims = AssertionClaims(
        iss=issuer,
        aud=audience,
        htm=method,
        htu=target,
        bsh=_hash(body),
        iat=int(now),
        exp=int(now) + ASSERTION_SECONDS,
        jti=random_id(),
    )
    return sign(claims, ASSERTION_KIND, key)


class AssertionVerifier:
    """Verifies assertions made to `audience` under the pinned keys, each assertion once."""

    def __init__(self, audience: str, public_keys: Mapping[str, Ed25519PublicKey]) -> None:
        self._audience = audience
        self._pinned = {key_id(key): (service, key) for service, key in public_keys.items()}
        self._used: set[tuple[str, str]] = set()
        self._expiries: deque[tuple[int, tuple[str, str]]] = deque()

    def verify(self, assertion: str, method: str, target: str, body: bytes, now: float) -> str:
        """Return the name of the service that sent this very request; RefusedTokenError otherwise."""
        claims = self._signed_claims(assertion)
        check_time(claims, now, ASSERTION_SECONDS)
        if (claims.aud, claims.htm, claims.htu, claims.bsh) != (self._audience, method, target, _hash(body)):
            raise RefusedTokenError("made for another request")
        self._use(claims, now)
        return claims.iss

    def _signed_claims(self, assertion: str) -> AssertionClaims:
        service, key = self._pinned.get(unverified_key_id(assertion), (None, None))
        if key is None:
            raise RefusedTokenError("not signed by a known service")
        claims = verify(assertion, ASSERTION_KIND, key, AssertionClaims)
        if claims.iss != service:
            raise RefusedTokenError("signed by another service than its issuer")
        return claims

    def _use(self, claims: AssertionClaims, now: float) -> None:
        while self._expiries and self._expiries[0][0] <= now:
            self._used.discard(self._expiries.popleft()[1])
        identity = (claims.iss, claims.jti)
        if identity in self._used:
            raise RefusedTokenError("already used")
        self._used.add(identity)
        self._expiries.append((claims.exp, identity))


def _hash(body: bytes) -> str:
    return encode(hashlib.sha256(body).digest())
