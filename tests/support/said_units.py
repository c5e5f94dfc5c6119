"""Units as they stand on the log, made up, and put there past any service."""

from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer

from policy import canonical
from schemas.beds import Unit, UnitAvailability
from services.kit.broker import Record
from services.kit.keys import random_id

TOPIC = "bed-availability"
REPORTED, DUE = "2026-01-10T02:00:00.000000Z", "2026-01-10T14:00:00.000000Z"


def said_unit(unit_id: str, **values: Any) -> Unit:
    """A unit with what is usual, and these values."""
    usual = {
        "unit_id": unit_id,
        "organization": "harbor-shelter",
        "organization_name": "Harbor Shelter",
        "name": "Harbor Rooms",
        "household_type": "without_children",
        "season": "year_round",
        "status": "capacity",
        "shown": "counts",
        "hold_policy": "instant",
        "version": 1,
        "updated_at": REPORTED,
        "time_zone": "UTC",
        "open": True,
        "available": 1,
    }
    return msgspec.convert(usual | values, Unit)


def event_of(unit: Unit) -> bytes:
    """The record's value."""
    event = UnitAvailability(id=random_id(), source="/shelter_beds", time=unit.updated_at, specversion="1.0", data=unit)
    return canonical.encode(event)


def record_of(unit: Unit, offset: int) -> Record:
    """The record, as it is read."""
    return Record(TOPIC, 0, offset, 0, unit.unit_id.encode(), (), event_of(unit))


async def say(producer: AIOKafkaProducer, unit: Unit) -> int:
    """Put a unit on the log, and return at which offset."""
    return int((await producer.send_and_wait(TOPIC, event_of(unit), unit.unit_id.encode())).offset)
