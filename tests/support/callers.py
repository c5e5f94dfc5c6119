"""Applications called in this process, with the keys, tokens and assertions of a community of the test's own."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from fastapi import FastAPI

from services.kit import keys
from services.kit.auth import Principal, Scope, issue_access_token
from services.kit.settings import ServiceSettings

NAMES = ("governance", "consent", "referrals", "shelter_beds", "webhooks", "audit", "boundary")
NOW = 1_800_000_000.0


def _generated() -> dict[str, Ed25519PrivateKey]:
    return {name: keys.generate() for name in NAMES}


@dataclass
class Community:
    """The services' assertion keys, a clock that stands still until it is moved, and which organizations are tests."""

    private_keys: dict[str, Ed25519PrivateKey] = field(default_factory=_generated)
    root_key: Ed25519PrivateKey = field(default_factory=keys.generate)
    now: float = NOW
    tests: set[str] = field(default_factory=set)

    @property
    def public_keys(self) -> dict[str, Ed25519PublicKey]:
        return {name: key.public_key() for name, key in self.private_keys.items()}

    def clock(self) -> float:
        return self.now

    def settings(self, service: str) -> ServiceSettings:
        return ServiceSettings(**self.setting_values(service))

    def setting_values(self, service: str) -> dict[str, Any]:
        return {
            "service": service,
            "kafka": "127.0.0.1:1",
            "services": {name: f"http://{name}.test" for name in NAMES},
            "assertion_key": self.private_keys[service],
            "assertion_public_keys": self.public_keys,
            "root_fingerprint": keys.fingerprint(self.root_key.public_key()),
        }

    def token(
        self,
        organization: str | None,
        scopes: Iterable[Scope],
        client_id: str = "a-client",
        *,
        test: bool | None = None,
    ) -> str:
        """An access token of governance; organization None and scope admin is the administrator's.

        `test` is what it says of the organization, instead of what is true.
        """
        is_test = organization in self.tests if test is None else test
        principal = Principal(client_id, organization, frozenset(scopes), is_test)
        return issue_access_token(principal, self.private_keys["governance"], self.now)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@asynccontextmanager
async def calling(app: FastAPI, name: str = "governance") -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of an application that is started and stopped around the block."""
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url=f"http://{name}.test") as client,
    ):
        yield client
