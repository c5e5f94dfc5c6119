"""A log that a test writes and reads: governance's and consent's records signed as those services sign them."""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from aiokafka import AIOKafkaProducer

from policy import canonical
from policy.control import control_key
from schemas.control import Agreement, AgreementData, Contact, Organization, OrganizationData, Project, Term
from schemas.disclosures import Delivery
from schemas.events import Consent, ConsentData, Party, PurposeOfUse
from schemas.records import (
    AgreementActivated,
    ConsentEvent,
    ConsentGranted,
    ControlEvent,
    OrganizationChanged,
    ReferralEvents,
)
from services.kit.broker import read_all
from services.kit.keys import random_id
from tests.support.key_desk import VICTIM_SERVICE_PROVIDER
from tests.support.log import CONSENT, GOVERNANCE, LOG_ID, PARTITIONS, Log, context, decode_event
from tests.support.waiting import wait_until_async

OUTREACH: Final = "outreach"
SHELTER: Final = "shelter"
SAFE_HOUSE: Final = VICTIM_SERVICE_PROVIDER
FUNDER: Final = "funder"
PURPOSE: PurposeOfUse = "shelter-placement"


@dataclass
class Chronicle:
    """Writes what others say, and reads what stands on the log of `bootstrap`."""

    bootstrap: str
    producer: AIOKafkaProducer
    order: int = field(default_factory=lambda: int(time.time() * 1_000_000))

    async def produce(self, key: str, value: bytes, partition: int | None = None, topic: str = "client-events") -> None:
        await self.producer.send_and_wait(topic, value, key.encode(), partition)

    async def control(self, event: ControlEvent) -> None:
        """Write a control record to every partition."""
        key = control_key(event)
        value = GOVERNANCE.sign(event, log_id=LOG_ID, key=key)
        await asyncio.gather(*(self.produce(key, value, partition) for partition in range(PARTITIONS)))

    async def says(self, event: ConsentEvent) -> bytes:
        """Write consent's record about a client, and return its bytes."""
        client_id = event.data.client_id
        value = CONSENT.sign(event, log_id=LOG_ID, key=client_id)
        await self.produce(client_id, value)
        return value

    async def grant(self, client_id: str, *categories: str, event: type[Any] = ConsentGranted, **changes: Any) -> bytes:
        """Let the client consent, at outreach's desk, to what the shelter may know."""
        consent: dict[str, Any] = {
            "id": random_id(),
            "version": 1,
            "to": (SHELTER,),
            "valid_from": datetime.now(UTC) - timedelta(days=1),
            "method": "written",
            "notice_version": "1",
            "categories": categories,
            "purposes": (PURPOSE,),
            "expires_at": datetime.now(UTC) + timedelta(days=30),
        } | {name: value for name, value in changes.items() if name != "recorder"}
        recorder = Party(organization=changes.get("recorder", OUTREACH))
        data = ConsentData(**self.signed(), client_id=client_id, publisher=recorder, consent=Consent(**consent))
        return await self.says(event(**context(random_id()), data=data))

    def signed(self) -> dict[str, Any]:
        self.order += 1
        return {"order": self.order, "key_id": "-", "signature": "-"}

    async def delivered(self, decision_id: str, client_id: str, **changes: Any) -> None:
        """Write what webhooks says of a release."""
        delivery: dict[str, Any] = {
            "id": random_id(),
            "decision_id": decision_id,
            "client_id": client_id,
            "recipient": Party(organization=SHELTER),
            "channel": "webhook",
            "attempt": 1,
            "state": "delivered",
            "verdict": "deidentified",
            "time": "2026-11-23T12:00:00Z",
            "categories": ("need",),
        } | changes
        await self.produce(client_id, canonical.encode(Delivery(**delivery)), topic="deliveries")

    async def events(self, referral_id: str) -> list[ReferralEvents]:
        """A referral's events as they stand on the log."""
        return [event for _, event in await self.placed(referral_id)]

    async def placed(self, referral_id: str) -> list[tuple[str, ReferralEvents]]:
        """A referral's events, each with "partition/offset"."""
        found: list[tuple[str, ReferralEvents]] = []
        async for run in read_all(self.bootstrap, "client-events", dict.fromkeys(range(PARTITIONS), 0)):
            for record in run:
                if record.value and referral_id.encode() in record.value:
                    event = decode_event(record.value)
                    assert isinstance(event, ReferralEvents)
                    assert record.key == event.data.client_id.encode()
                    found.append((f"{record.partition}/{record.offset}", event))
        return sorted(found, key=lambda each: each[1].data.referral.version)

    async def decided(self, event: ReferralEvents) -> None:
        """Wait until the boundary has answered an event of which something crosses."""

        async def answered() -> bool:
            async for run in read_all(self.bootstrap, "disclosures", dict.fromkeys(range(PARTITIONS), 0)):
                if any(event.id.encode() in (record.value or b"") for record in run):
                    return True
            return False

        await wait_until_async(answered, what="the decision")

    async def wait_events(self, referral_id: str, count: int) -> list[ReferralEvents]:
        async def enough() -> list[ReferralEvents] | None:
            found = await self.events(referral_id)
            return found if len(found) >= count else None

        return await wait_until_async(enough, what=f"{count} events")

    async def found(self) -> None:
        """Let the town come to be: genesis, organizations, one agreement."""
        for partition in range(PARTITIONS):
            log = Log(partition=partition)
            log.begin()
            for record in log.records:
                assert record.key is not None
                assert record.value is not None
                await self.produce(record.key.decode(), record.value, partition)
        for name, kind in ((OUTREACH, "provider"), (SHELTER, "provider"), (SAFE_HOUSE, "provider"), (FUNDER, "funder")):
            await self.register(id=name, kind=kind)
        await self.agree("agreement")

    async def register(self, **changes: Any) -> None:
        """Register an organization, with one project and one contact."""
        name = changes["id"]
        attributes = {
            "name": name,
            "kind": "provider",
            "victim_service_provider": name == SAFE_HOUSE,
            "hipaa_covered": False,
            "projects": (
                Project(
                    id=f"project-{name}",
                    name="A project",
                    project_type=1,
                    part2_program=False,
                    hmis_participation="hmis",
                ),
            ),
            "contacts": (Contact(id=f"desk-{name}", name="The desk", phone="555 0100"),),
        } | changes
        data = OrganizationData(**self.signed(), organization=Organization(**attributes))
        await self.control(OrganizationChanged(**context(name), data=data))

    async def agree(self, agreement_id: str) -> None:
        term = Term(
            from_=(OUTREACH, SAFE_HOUSE),
            to=(SHELTER,),
            purposes=(PURPOSE,),
            categories=("identity", "household", "health", "notes"),
            deidentified=True,
        )
        agreement = Agreement(id=agreement_id, version=1, parties=(OUTREACH, SHELTER, SAFE_HOUSE), terms=(term,))
        await self.control(
            AgreementActivated(**context(agreement_id), data=AgreementData(**self.signed(), agreement=agreement))
        )
