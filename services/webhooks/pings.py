"""Sends an endpoint a signed request that says nothing, so that its owner can see whether it works."""

import json
import time
from datetime import UTC, datetime
from typing import Final

from services.kit.keys import random_id
from services.webhooks.bodies import TestResult
from services.webhooks.model import Answered, Broken, NotSent
from services.webhooks.outbound import Departure, Outbound
from services.webhooks.signatures import decrypt_secret, signed_headers
from services.webhooks.tables import Endpoint

TYPE: Final = "endpoint.test"


class Pinger:
    """Sends test requests, through the same guard as everything else."""

    def __init__(self, outbound: Outbound, secrets_key: bytes) -> None:
        self._outbound = outbound
        self._secrets_key = secrets_key

    async def ping(self, endpoint: Endpoint) -> TestResult:
        """Send one test request, whatever the endpoint's filter and state."""
        began = time.time()
        timestamp = datetime.fromtimestamp(began, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        body = json.dumps({"type": TYPE, "timestamp": timestamp, "data": {}}).encode()
        secret = decrypt_secret(self._secrets_key, endpoint.id, endpoint.secret)
        headers = signed_headers(secret, f"msg_{random_id()}", int(began), body)
        outcome = await self._outbound.post(endpoint.url, headers, body, Departure())
        return _result(outcome, round((time.time() - began) * 1000))


def _result(outcome: Answered | Broken | NotSent, milliseconds: int) -> TestResult:
    status = outcome.status if isinstance(outcome, Answered) else None
    return TestResult(
        delivered=status is not None and 200 <= status < 300,
        status_code=status,
        error=outcome.error if isinstance(outcome, Broken) else None,
        milliseconds=milliseconds,
    )
