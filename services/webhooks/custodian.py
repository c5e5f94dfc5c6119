"""The custodian in `consent`: asked at each attempt what may cross now, and told what became of it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal, Protocol

import aiohttp
import msgspec

from policy.allowed import EPOCH
from schemas.disclosures import Basis, Decision
from schemas.events import Closed, DataCategory, Party
from services.kit.clients import Answer, DependencyDown, ServiceClient, Transport
from services.kit.settings import ServiceSettings
from services.webhooks.told import Told

CONSENT: Final = "consent"
TIMEOUT: Final = aiohttp.ClientTimeout(total=2.5, sock_connect=0.5)
"""An answer that takes longer has outlived the lease it grants."""

Channel = Literal["webhook", "inbox"]
ReleaseVerdict = Literal["permit", "deidentified", "status", "closed", "withheld"]
ReleaseState = Literal["started", "delivered", "failed", "not_sent"]


class ReleasedKey(msgspec.Struct, frozen=True):
    """The key of one category's box (base64url)."""

    seq: int
    category: DataCategory
    key: str

    def __repr__(self) -> str:
        return f"ReleasedKey({self.seq}, {self.category})"


class Release(msgspec.Struct, frozen=True):
    """The custodian's answer: what may cross now, and for how long sending it may start.

    `known_as` is the name of the referral that it has let the party told know. A permit says what it obliges to and
    which consents it rests on, as of now: `to` names this recipient alone, the categories are those that cross.
    """

    release_id: str | None
    verdict: ReleaseVerdict
    known_as: Literal["referral", "reference"] | None = None
    categories: tuple[DataCategory, ...] = ()
    keys: tuple[ReleasedKey, ...] = ()
    obligations: tuple[str, ...] = ()
    consents: tuple[Basis, ...] = ()
    lease_seconds: float = 0.0
    reason: str | None = None

    @property
    def relied_on(self) -> tuple[Basis, ...]:
        """The consents without which less would cross."""
        return tuple(each for each in self.consents if set(each.categories) & set(self.categories))


VOID: Final = Release(None, "withheld", reason="entered-in-error")
"""Of a referral that was entered in error nothing is released."""


class Settlement(Closed, frozen=True, kw_only=True):
    """What became of a release."""

    release_id: str
    state: ReleaseState


class CustodianDownError(Exception):
    """It does not answer, or can't say now: nothing is sent."""


class CustodianRefusedError(Exception):
    """It does not understand what it was asked: nothing is sent."""


class Custodian(Protocol):
    """The port to the custodian."""

    async def release(self, told: Told, attempt: int, channel: Channel, *, is_void: bool) -> Release:
        """Ask for one attempt; CustodianDownError, CustodianRefusedError.

        `is_void`, found as the attempt began: the referral was entered in error, and nobody needs to be asked.
        """

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """Tell what became of releases; CustodianDownError."""


class HttpCustodian:
    """The custodian behind consent's HTTP API. `transport`: how it is reached, if not over the network."""

    def __init__(self, settings: ServiceSettings, transport: Transport | None = None) -> None:
        self._client = ServiceClient(settings, CONSENT, timeout=TIMEOUT, transport=transport)

    async def release(self, told: Told, attempt: int, channel: Channel, *, is_void: bool) -> Release:
        """POST /releases."""
        if is_void:
            return VOID
        answer = await self._post("/releases", release_request(told, attempt, channel))
        try:
            return msgspec.json.decode(answer.content, type=Release)
        except msgspec.MsgspecError:
            raise CustodianRefusedError from None  # its text could quote a key

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """POST /releases/settlements."""
        await self._post("/releases/settlements", {"settlements": settlements})

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _post(self, path: str, body: dict[str, Any]) -> Answer:
        try:
            answer = await self._client.post(path, body)
        except DependencyDown as error:
            raise CustodianDownError from error
        if not answer.is_success:
            raise CustodianRefusedError
        return answer


def release_request(told: Told, attempt: int, channel: Channel) -> dict[str, Any]:
    """Make the body of POST /releases: the decision, its circumstances and the wrapped keys; never a box."""
    data, decision = told.event.data, told.decision
    parties: dict[str, Party] = {
        "originator": data.referral.originator,
        "publisher": data.publisher,
        "recipient": told.concerned,
        "told": told.party,
    }
    return {
        "decision_id": told.id,
        "attempt": attempt,
        "channel": channel,
        "event_type": told.event.type,
        "client_id": data.client_id,
        "referral_id": data.referral.id,
        "purpose": data.purpose,
        "recipients": msgspec.to_builtins(data.recipients),
        "verdict": decision.verdict,
        "known_as": decision.known_as,
        "status": decision.status,
        "categories": list(decision.categories),
        "ends": _ends(decision),
        "envelopes": [
            {
                "seq": envelope.seq,
                "suite": envelope.suite,
                "key_id": envelope.key_id,
                "wrapped": envelope.wrapped,
                "categories": sorted(envelope.boxes),
            }
            for envelope in told.envelopes
        ],
        **msgspec.to_builtins(parties),
    }


def _ends(decision: Decision) -> dict[DataCategory, int]:
    """When what the boundary relied on ends, by category: one short consent ends nothing that rests on another."""
    return {
        category: (datetime.fromisoformat(each.expires_at) - EPOCH) // timedelta(milliseconds=1)
        for each in decision.basis
        if each.expires_at is not None
        for category in each.categories
    }
