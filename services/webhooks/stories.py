"""Reads a household's story for its receiver: each member asked about again, released and settled as in the inbox."""

from collections.abc import Sequence

from services.kit.clients import DependencyDown
from services.kit.database import Database
from services.kit.problems import Problem
from services.webhooks import inbox_items, story
from services.webhooks.custodian import CONSENT
from services.webhooks.leased_answer import LeasedAnswer
from services.webhooks.messages import Identified
from services.webhooks.readings import Reading, Readings, in_order
from services.webhooks.story import Known, Story


class Stories:
    """Reads the stories of all organizations."""

    def __init__(self, database: Database, readings: Readings) -> None:
        self._database = database
        self._readings = readings

    async def answer(self, organization: str, referral_id: str) -> LeasedAnswer:
        """Make the answer; Problem 404 when nothing may be shown, DependencyDown when the custodian can't say of all.

        Whole or not at all: a story without somebody who may be known would read as a household without that person.
        So it is if of one no message can be made, by a fault of ours, for as long as that lasts.
        """
        async with self._database.transaction() as session:
            items = await inbox_items.take_referral(session, organization, referral_id)
            if items is None:
                raise DependencyDown(CONSENT)
        asked = await self._readings.ask(items)
        readings = [reading for reading in asked if reading is not None]
        if len(readings) < len(items):
            self._readings.drop(*readings)
            raise DependencyDown(CONSENT)
        if any(reading.unmade for reading in readings):
            await self._note(readings, ())
            raise DependencyDown(CONSENT)
        told, shown = _told(readings)
        await self._note(readings, shown)
        if told is None:
            raise Problem("not-found")
        return LeasedAnswer(self._readings, shown, told.model_dump_json(exclude_unset=True).encode())

    async def _note(self, readings: Sequence[Reading], shown: Sequence[Reading]) -> None:
        numbers = {reading.item.number for reading in shown}
        async with self._database.transaction() as session:
            for reading in in_order(readings):
                if reading.message is None or reading.item.number in numbers:
                    await self._readings.note(session, reading)
                else:
                    await self._readings.leave_out(session, reading)


def _told(readings: Sequence[Reading]) -> tuple[Story | None, list[Reading]]:
    """Return the story, and the readings that it is made of: permits, and what became of clients who are permitted."""
    found = [(reading, known) for reading in readings if (known := _known(reading)) is not None]
    permitted = {known.data.client_id for _, known in found if known.data.verdict == "permit"}
    found = [(reading, known) for reading, known in found if known.told.event.data.client_id in permitted]
    return story.tell([known for _, known in found]), [reading for reading, _ in found]


def _known(reading: Reading) -> Known | None:
    data = reading.message.data if reading.message else None
    return Known(reading.item.number, reading.item.told, data) if isinstance(data, Identified) else None
