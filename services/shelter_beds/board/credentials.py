"""Asks governance whether a credential counts, and keeps the access tokens it gives in memory until they end."""

import asyncio
import hashlib
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from services.kit.auth import ACCESS_TOKEN_SECONDS, Principal, verify_access_token
from services.kit.clients import DelegatedClient, DependencyDown
from services.kit.tokens import RefusedTokenError

MOST_TOKENS: Final = 10_000
SPARE_SECONDS: Final = 30
"""A token that ends so soon is not used any more: the service it is for must still take it."""

AWAY_SECONDS: Final = 3
"""For so long nobody waits again for a governance that did not answer: not a second time for every part of a page."""


class Credentials:
    """Credentials of those who signed in; `clock` gives Unix time."""

    def __init__(self, governance: DelegatedClient, key: Ed25519PublicKey, clock: Callable[[], float]) -> None:
        self._governance = governance
        self._key = key
        self._clock = clock
        self._tokens: dict[bytes, tuple[str, float]] = {}
        self._asking: dict[bytes, asyncio.Task[Principal | None]] = {}
        self._away_at = float("-inf")

    async def verify(self, client_id: str, client_secret: str) -> Principal | None:
        """Return whom a credential stands for now; None if governance refuses it, DependencyDown if it is not there."""
        name = _name(client_id, client_secret)
        fields = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret}
        answer = await self._governance.form("/oauth/token", fields)
        if not answer.is_success:
            self._tokens.pop(name, None)
            return None
        token = str(answer.json()["access_token"])
        now = self._clock()
        try:
            principal = verify_access_token(token, self._key, now)
        except RefusedTokenError:
            return None
        self._keep(name, token, now)
        return principal

    async def confirm(self, client_id: str, client_secret: str) -> Principal | None:
        """Do as `verify` does for a credential that counted before: asked once for all who wait, and not while away."""
        if 0 <= self._clock() - self._away_at < AWAY_SECONDS:
            raise DependencyDown("governance")
        name = _name(client_id, client_secret)
        if name not in self._asking:
            self._asking[name] = asyncio.create_task(self._confirmed(name, client_id, client_secret))
        return await asyncio.shield(self._asking[name])

    async def token(self, client_id: str, client_secret: str) -> str | None:
        """Return an access token of a credential; None if governance refuses it, DependencyDown if it is not there."""
        name = _name(client_id, client_secret)
        if name not in self._tokens or self._tokens[name][1] <= self._clock():
            await self.confirm(client_id, client_secret)
        found = self._tokens.get(name)
        return found[0] if found else None

    async def _confirmed(self, name: bytes, client_id: str, client_secret: str) -> Principal | None:
        try:
            return await self.verify(client_id, client_secret)
        except DependencyDown:
            self._away_at = self._clock()
            raise
        finally:
            del self._asking[name]

    def _keep(self, name: bytes, token: str, now: float) -> None:
        if len(self._tokens) >= MOST_TOKENS:
            self._tokens = {each: kept for each, kept in self._tokens.items() if kept[1] > now}
        if len(self._tokens) < MOST_TOKENS or name in self._tokens:
            self._tokens[name] = (token, now + ACCESS_TOKEN_SECONDS - SPARE_SECONDS)


def _name(client_id: str, client_secret: str) -> bytes:
    return hashlib.sha256(f"{client_id}\0{client_secret}".encode()).digest()
