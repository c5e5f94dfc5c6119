"""Asks governance again and again which projects are confidential, and hides their units; it never shows one again."""

import asyncio
from contextlib import suppress
from typing import Final

from services.kit import logs
from services.kit.clients import DependencyDown, ServiceClient, UnexpectedAnswerError
from services.kit.database import Database
from services.shelter_beds import directory, store, units
from services.shelter_beds.desk import Withdrawn

ASKED_EVERY: Final = 2.0  # seconds
AWAY: Final = (DependencyDown, UnexpectedAnswerError, *Database.away)


async def keep_hiding(database: Database, governance: ServiceClient, every: float = ASKED_EVERY) -> None:
    """Look every so many seconds, for ever; while it can't, units stay as they are, which is said once."""
    is_away = False
    while True:
        try:
            await hide(database, governance)
            is_away = False
        except AWAY as error:
            if not is_away:
                logs.get().warning("nobody can say which projects have become confidential", **logs.describe(error))
            is_away = True
        await asyncio.sleep(every)


async def hide(database: Database, governance: ServiceClient) -> None:
    """Hide each unit that can be found though its project is confidential, or a victim service provider's."""
    confidential = await directory.confidential_projects(governance)
    async with database.transaction() as session:
        found = await store.units_to_find(session)
    for unit_id, organization, project in found:
        if (organization, project) in confidential:
            with suppress(Withdrawn):
                async with database.transaction() as session:
                    await units.hide(session, unit_id)
