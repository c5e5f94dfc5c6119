"""The sealed cookie of who signed in: all that is known of a session is in it, and only this service can read it.

AES-256-GCM under a key derived from the service's assertion key (HKDF, RFC 5869). Nothing is kept on the server, so a
restart ends no session, and a copy of the database opens none.
"""

import secrets
from dataclasses import dataclass, field, replace
from typing import Final, Self

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from policy.base64url import decode, encode
from services.kit.auth import Principal, Scope

LASTS_SECONDS: Final = 12 * 3600
VERIFIED_SECONDS: Final = 600
"""How long a credential counts without governance being asked again: as long as an access token."""
READABLE_SECONDS: Final = 3600
"""How long the board can be read while governance can't be asked."""
LONGEST_COOKIE: Final = 4096  # characters; browsers keep no more
NONCE_BYTES: Final = 12
_FORMAT: Final = b"threshold shelter_beds/board session 1"


@dataclass(frozen=True)
class Session:
    """Who signed in: the credential, and whom it stood for when governance was asked at `verified_at` (Unix time)."""

    client_id: str
    client_secret: str = field(repr=False)
    organization: str
    scopes: tuple[Scope, ...]
    issued_at: int
    verified_at: int
    csrf: str = field(repr=False)
    test: bool = False

    @classmethod
    def begun(cls, principal: Principal, client_secret: str, now: float) -> Self:
        """Begin a session of an organization's credential that was verified just now."""
        return cls(
            client_id=principal.client_id,
            client_secret=client_secret,
            organization=principal.own_organization(),
            scopes=tuple(sorted(principal.scopes)),
            issued_at=int(now),
            verified_at=int(now),
            csrf=secrets.token_urlsafe(16),
            test=principal.test,
        )

    @property
    def principal(self) -> Principal:
        """Whom it stands for."""
        return Principal(self.client_id, self.organization, frozenset(self.scopes), self.test)

    def renewed(self, principal: Principal, now: float) -> "Session":
        """The same session after its credential was verified again."""
        return replace(self, scopes=tuple(sorted(principal.scopes)), test=principal.test, verified_at=int(now))

    def is_verified(self, now: float) -> bool:
        """Whether its credential counts without being verified again."""
        return now - self.verified_at < VERIFIED_SECONDS

    def is_readable(self, now: float) -> bool:
        """Whether it may still read when its credential can't be verified."""
        return now - self.verified_at < READABLE_SECONDS


class Seal:
    """Makes cookies of sessions, and sessions of cookies."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    @classmethod
    def of(cls, assertion_key: Ed25519PrivateKey) -> Self:
        """The seal of a service; always the same from the same key."""
        derivation = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"threshold shelter_beds/board sessions")
        return cls(derivation.derive(assertion_key.private_bytes_raw()))

    def seal(self, session: Session) -> str:
        """Write a session as a cookie's value."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return encode(nonce + self._cipher.encrypt(nonce, msgspec.json.encode(session), _FORMAT))

    def open(self, cookie: str, now: float) -> Session | None:
        """Read a cookie's value; None for one that is not ours, was altered, or is over."""
        if len(cookie) > LONGEST_COOKIE:
            return None
        try:
            raw = decode(cookie)
            plain = self._cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], _FORMAT)
            session = msgspec.json.decode(plain, type=Session)
        except (ValueError, InvalidTag, msgspec.MsgspecError):
            return None
        return session if now - session.issued_at < LASTS_SECONDS else None
