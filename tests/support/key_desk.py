"""The one address of consent that the referrals service asks, with real keys behind it."""

from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter

from schemas.categories import CATEGORIES
from services.kit.auth import service_only
from services.kit.client_keys import DEFAULT_SUITE, ClientKeyPair, generate_client_keys
from services.kit.keys import random_id
from services.kit.problems import Problem
from tests.support.log import LOG_ID

VICTIM_SERVICE_PROVIDER = "safe-house"


@dataclass
class KeyDesk:
    """Clients' keys, and what a victim service provider may seal; every other publisher may seal everything."""

    pairs: dict[str, ClientKeyPair] = field(default_factory=dict)
    registered: set[tuple[str, str]] = field(default_factory=set)
    released: dict[str, list[str]] = field(default_factory=dict)
    down: bool = False

    def client(self, organization: str, *released: str) -> str:
        """Register a new client; `released` are the categories of its release, for a victim service provider."""
        client_id = random_id()
        self.pairs[client_id] = generate_client_keys()
        self.registered.add((organization, client_id))
        self.released[client_id] = ["need", *released]
        return client_id

    def router(self) -> APIRouter:
        """The one address."""
        router = APIRouter(dependencies=[service_only("referrals")])

        @router.get("/clients/{client_id}/public-key")
        async def public_key(client_id: str, organization: str, recipient: str, purpose: str) -> dict[str, Any]:
            assert recipient
            assert purpose
            if self.down:
                raise Problem("dependency-down")
            if (organization, client_id) not in self.registered:
                raise Problem("not-found")
            victim_service_provider = organization == VICTIM_SERVICE_PROVIDER
            return {
                "log_id": LOG_ID,
                "key_id": f"key-{client_id}"[:64],
                "suite": DEFAULT_SUITE,
                "public_key": self.pairs[client_id].public_key,
                "sealable": self.released[client_id] if victim_service_provider else list(CATEGORIES),
                "victim_service_provider": victim_service_provider,
            }

        return router
