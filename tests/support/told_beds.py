"""What shelter_beds says on the log, written there by a test of webhooks."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from policy import canonical
from schemas import beds
from services.kit.auth import Scope
from services.kit.keys import random_id
from tests.contracts.bed_examples import unit
from tests.support.hooked import Endpoint, Hooked
from tests.support.waiting import wait_until_async

READER = (Scope.WEBHOOKS_MANAGE, Scope.BEDS_READ)


class Beds:
    """The beds of one unit, and holds of them, between two new organizations."""

    def __init__(self, town: Hooked) -> None:
        self.town = town
        self.shelter, self.holder, self.unit_id = f"shelter-{random_id()}", f"outreach-{random_id()}", random_id()

    async def endpoint(self, organization: str, *types: str) -> Endpoint:
        desk = self.town.receiver.desk(random_id())
        headers = self.town.headers(organization, *READER)
        body = {"url": desk.url, "types": types}
        made = (await self.town.call(organization, "POST", "/endpoints", body, headers=headers)).json()
        return Endpoint(organization, made["id"], made["secret"], desk)

    async def availability(self, version: int, **said: Any) -> beds.UnitAvailability:
        event = beds.UnitAvailability(**_context(), data=unit(unit_id=self.unit_id, version=version, **said))
        await self.write("bed-availability", self.unit_id, event)
        return event

    async def step(self, kind: type[beds.HoldEvent], bed_ids: Sequence[str], **said: Any) -> list[beds.HoldEvent]:
        """A step of one hold, as it is said: a record for each of its beds, in whatever partition."""
        hold_id = random_id()
        parties = {"organization": self.shelter, "holder": self.holder, "unit_id": self.unit_id}
        events = [
            kind(
                **_context(),
                data=beds.Hold(hold_id=hold_id, bed_id=bed_id, bed_ids=tuple(bed_ids), order=1, **parties | said),
            )
            for bed_id in bed_ids
        ]
        for event in events:
            await self.write("bed-holds", event.data.bed_id or "", event)
        return events

    async def asked(self, kind: type[beds.HoldEvent], hold_id: str, **said: Any) -> beds.HoldEvent:
        """A step of a request, as it is said: once, for it has no bed."""
        parties = {"organization": self.shelter, "holder": self.holder, "unit_id": self.unit_id}
        event = kind(**_context(), data=beds.Hold(hold_id=hold_id, beds=3, **parties | said))
        await self.write("bed-holds", self.unit_id, event)
        return event

    async def write(self, topic: str, key: str, event: beds.BedEvent) -> None:
        put = await self.town.producer.send_and_wait(topic, canonical.encode(event), key.encode())
        self.last = (topic, put.partition, put.offset)

    async def wait_read(self) -> None:
        """Wait until what was said last has been read, though nobody may be told."""
        query = "SELECT 1 FROM positions WHERE topic = %s AND partition = %s AND next > %s"
        await wait_until_async(lambda: self.town.rows(query, *self.last), what="the record to be read")


def _context() -> dict[str, Any]:
    time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {"id": random_id(), "source": "/shelter_beds", "time": time, "specversion": "1.0"}
