"""Asks governance again and again which units are not for everybody, and keeps them apart; it never undoes that."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

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
                logs.get().warning("nobody can say which units are not for everybody", **logs.describe(error))
            is_away = True
        await asyncio.sleep(every)


async def hide(database: Database, governance: ServiceClient) -> None:
    """Hide each unit that can be found though its project is confidential, or a victim service provider's.

    And let each that is a test organization's be a test's: of units that were registered before, nobody said so.
    """
    apart = await directory.apart(governance)
    async with database.transaction() as session:
        found = await store.units_to_find(session)
        taken_for_real = await store.real_units_of(session, apart.tests)
    for unit_id, organization, project in found:
        if (organization, project) in apart.confidential:
            await _changed(database, unit_id, units.hide)
    for unit_id in taken_for_real:
        await _changed(database, unit_id, units.be_a_test)


async def _changed(database: Database, unit_id: str, change: Callable[[AsyncSession, str], Awaitable[None]]) -> None:
    with suppress(Withdrawn):
        async with database.transaction() as session:
            await change(session, unit_id)
