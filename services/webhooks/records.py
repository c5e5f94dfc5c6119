"""What the `deliveries` topic is told: ids, states and times of each release, put into the outbox."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from sqlalchemy.ext.asyncio import AsyncSession

from policy import canonical
from schemas.disclosures import Delivery
from schemas.events import DataCategory
from services.kit import outbox
from services.webhooks.custodian import Channel, ReleaseVerdict
from services.webhooks.told import Told

TOPIC: Final = "deliveries"
_ID_CHARACTERS: Final = 32


@dataclass(frozen=True)
class Said:
    """What there is to say of one attempt; without an endpoint, of a reading of the inbox."""

    state: Literal["released", "delivered", "failed", "withheld", "not_sent", "given_up"]
    channel: Channel
    attempt: int
    at: datetime
    verdict: ReleaseVerdict
    endpoint_id: str | None = None
    categories: tuple[DataCategory, ...] = ()
    release_id: str | None = None
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


def delivery(told: Told, said: Said) -> Delivery:
    """Make the record; its id is the same whenever the same is said again."""
    return Delivery(
        id=_id(told.id, said),
        decision_id=told.id,
        client_id=told.event.data.client_id,
        recipient=told.party,
        channel=said.channel,
        attempt=said.attempt,
        state=said.state,
        verdict=said.verdict,
        time=said.at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        endpoint_id=said.endpoint_id,
        categories=said.categories,
        release_id=said.release_id,
        reason=said.reason,
    )


def _id(decision_id: str, said: Said) -> str:
    name = f"{decision_id} {said.endpoint_id or said.channel} {said.attempt} {said.state}"
    return hashlib.sha256(name.encode()).hexdigest()[:_ID_CHARACTERS]
