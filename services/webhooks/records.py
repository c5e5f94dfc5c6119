"""What the `deliveries` topic is told: ids, states and times of each release, put into the outbox."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from sqlalchemy.ext.asyncio import AsyncSession

from policy import canonical
from schemas.disclosures import Delivery
from services.kit import outbox
from services.webhooks.custodian import Channel, Release
from services.webhooks.told import Told

TOPIC: Final = "deliveries"
NOTHING: Final[dict[str, Any]] = {"aggregate": "", "topic": TOPIC, "key": b"", "bodies": []}
"""The parameters of `outbox.PUT_ALL` for an attempt without a release: of it the log is told nothing."""
_ID_CHARACTERS: Final = 32
_SENT: Final = frozenset({"released", "delivered", "failed"})
"""What may have left: whoever answers with an error, or too late, may have kept it."""


@dataclass(frozen=True)
class Said:
    """What there is to say of one attempt; without an endpoint, of a reading of the inbox.

    `release` is None where there was none, or where the attempt was cut off and nobody knows which.
    """

    state: Literal["released", "delivered", "failed", "withheld", "not_sent", "given_up"]
    channel: Channel
    attempt: int
    at: datetime
    release: Release | None = None
    endpoint_id: str | None = None
    reason: str | None = None


async def put(session: AsyncSession, told: Told, said: Said) -> None:
    """Put it into the outbox; the caller holds the row that the attempt belongs to."""
    await outbox.put(
        session,
        topic=TOPIC,
        key=told.event.data.client_id.encode(),
        aggregate=f"{told.id} {said.endpoint_id or said.channel}",
        body=canonical.encode(delivery(told, said)),
    )


def of_attempt(told: Told, endpoint_id: str, said: Sequence[Said]) -> dict[str, Any]:
    """Return the parameters of `outbox.PUT_ALL` that tell it of one attempt, in this order."""
    return {
        "aggregate": f"{told.id} {endpoint_id}",
        "topic": TOPIC,
        "key": told.event.data.client_id.encode(),
        "bodies": [canonical.encode(delivery(told, each)) for each in said],
    }


def delivery(told: Told, said: Said) -> Delivery:
    """Make the record; its id is the same whenever the same is said again."""
    release = said.release or Release(None, told.verdict)
    return Delivery(
        id=_id(told.id, said),
        decision_id=told.id,
        client_id=told.event.data.client_id,
        recipient=told.party,
        channel=said.channel,
        attempt=said.attempt,
        state=said.state,
        verdict=release.verdict,
        time=said.at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        endpoint_id=said.endpoint_id,
        categories=release.categories,
        release_id=release.release_id,
        reason=said.reason,
        **_grounds(said.state, release),
    )


def _grounds(state: str, release: Release) -> dict[str, Any]:
    """What it rested on when it was sent: no more than its message tells, which is nothing of it but in a permit."""
    if state not in _SENT or release.verdict != "permit":
        return {}
    return {"consents": tuple(each.id for each in release.relied_on), "obligations": release.obligations}


def _id(decision_id: str, said: Said) -> str:
    name = f"{decision_id} {said.endpoint_id or said.channel} {said.attempt} {said.state}"
    return hashlib.sha256(name.encode()).hexdigest()[:_ID_CHARACTERS]
